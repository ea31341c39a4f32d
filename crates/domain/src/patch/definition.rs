//! From the dump of a running machine to its definition.

use super::Editor;
use crate::document::Element;

/// Where libvirt puts the sockets of channels; without a source it makes the name itself.
pub(crate) const CHANNEL_FOLDERS: [&str; 2] =
    ["/run/libvirt/qemu/channel/", "/var/lib/libvirt/qemu/channel/"];

/// Removes what libvirt hands out anew at each start.
pub(super) fn forget_the_run(editor: &mut Editor<'_>) {
    let root = editor.root();
    editor.remove_attribute(root, "id");
    for label in root.all("seclabel") {
        // Without a word libvirt takes a label for a dynamic one.
        if label.value("type").unwrap_or("dynamic") == "dynamic" {
            editor.remove(label);
        }
    }
    for disk in editor.devices("disk") {
        // An empty one ends the chain, and that is the owner's word, not what libvirt found.
        for chain in disk.all("backingStore").filter(|chain| !chain.children.is_empty()) {
            editor.remove(chain);
        }
        disk.all("mirror").for_each(|copy| editor.remove(copy));
    }
    for channel in editor.devices("channel") {
        for socket in channel.all("source").filter(|source| is_handed_out(source)) {
            editor.remove(socket);
        }
    }
}

/// Whether a channel's source is a socket that libvirt named.
fn is_handed_out(source: &Element<'_>) -> bool {
    let path = source.value("path").unwrap_or_default();
    CHANNEL_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use crate::{Changes, patch};

    #[test]
    fn makes_a_definition_of_the_dump_of_a_running_machine() {
        let dump = "<domain type='kvm' id='7'>
  <name>n</name>
  <devices>
    <disk type='file'>
      <source file='/a' index='2'/>
      <backingStore type='file' index='3'>
        <source file='/b'/>
      </backingStore>
      <target dev='vda'/>
    </disk>
    <disk type='file'><source file='/c'/><backingStore/><target dev='vdb'/><mirror type='file'/></disk>
    <channel type='unix'>
      <source mode='bind' path='/run/libvirt/qemu/channel/7-n/org.qemu.guest_agent.0'/>
      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>
    </channel>
    <channel type='unix'><source mode='bind' path='/tmp/mine'/></channel>
  </devices>
  <seclabel type='dynamic' model='dac' relabel='yes'>
    <label>+64055:+64055</label>
  </seclabel>
  <seclabel model='apparmor'/>
  <seclabel type='none' model='selinux'/>
</domain>";
        let definition = "<domain type='kvm'>
  <name>n</name>
  <devices>
    <disk type='file'>
      <source file='/a' index='2'/>
      <target dev='vda'/>
    </disk>
    <disk type='file'><source file='/c'/><backingStore/><target dev='vdb'/></disk>
    <channel type='unix'>
      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>
    </channel>
    <channel type='unix'><source mode='bind' path='/tmp/mine'/></channel>
  </devices>
  <seclabel type='none' model='selinux'/>
</domain>";
        let changes = Changes { as_definition: true, ..Changes::default() };
        assert_eq!(patch(dump.as_bytes(), &changes).unwrap(), definition);
        assert_eq!(patch(definition.as_bytes(), &changes).unwrap(), definition);
    }
}
