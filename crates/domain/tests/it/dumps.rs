//! Documents as other programs write them.

/// What `virsh dumpxml` tells of a running machine that virt-manager made.
pub(crate) const RUNNING: &str = r"<domain type='kvm' id='7'>
  <name>web01</name>
  <uuid>0bd2f1a6-6b1c-4a2e-9d3f-5a4b3c2d1e0f</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
      <libosinfo:os id='http://debian.org/debian/12'/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='KiB'>2097152</memory>
  <currentMemory unit='KiB'>2097152</currentMemory>
  <vcpu placement='static'>2</vcpu>
  <resource><partition>/machine</partition></resource>
  <os firmware='efi'>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <firmware>
      <feature enabled='no' name='enrolled-keys'/>
      <feature enabled='no' name='secure-boot'/>
    </firmware>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/lib/libvirt/qemu/nvram/web01_VARS.fd</nvram>
    <boot dev='hd'/>
  </os>
  <features><acpi/><apic/><vmport state='off'/></features>
  <cpu mode='host-passthrough' check='none' migratable='on'/>
  <clock offset='utc'>
    <timer name='rtc' tickpolicy='catchup'/>
    <timer name='hpet' present='no'/>
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <pm><suspend-to-mem enabled='no'/><suspend-to-disk enabled='no'/></pm>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='/var/lib/libvirt/images/web01.qcow2' index='2'/>
      <backingStore/>
      <target dev='vda' bus='virtio'/>
      <alias name='virtio-disk0'/>
      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' function='0x0'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver name='qemu'/>
      <target dev='sda' bus='sata'/>
      <readonly/>
      <alias name='sata0-0-0'/>
      <address type='drive' controller='0' bus='0' target='0' unit='0'/>
    </disk>
    <controller type='usb' index='0' model='qemu-xhci' ports='15'>
      <alias name='usb'/>
      <address type='pci' domain='0x0000' bus='0x02' slot='0x00' function='0x0'/>
    </controller>
    <controller type='pci' index='0' model='pcie-root'><alias name='pcie.0'/></controller>
    <controller type='pci' index='1' model='pcie-root-port'>
      <model name='pcie-root-port'/>
      <target chassis='1' port='0x10'/>
      <alias name='pci.1'/>
    </controller>
    <controller type='sata' index='0'><alias name='ide'/></controller>
    <controller type='virtio-serial' index='0'><alias name='virtio-serial0'/></controller>
    <interface type='network'>
      <mac address='52:54:00:12:34:56'/>
      <source network='default' portid='1f9c61a0-9d0e-4c61-8a53-7b1f6a0c2d4e' bridge='virbr0'/>
      <target dev='vnet6'/>
      <model type='virtio'/>
      <alias name='net0'/>
    </interface>
    <serial type='pty'>
      <source path='/dev/pts/3'/>
      <target type='isa-serial' port='0'><model name='isa-serial'/></target>
      <alias name='serial0'/>
    </serial>
    <console type='pty' tty='/dev/pts/3'>
      <source path='/dev/pts/3'/>
      <target type='serial' port='0'/>
      <alias name='serial0'/>
    </console>
    <channel type='unix'>
      <source mode='bind' path='/run/libvirt/qemu/channel/7-web01/org.qemu.guest_agent.0'/>
      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/>
      <alias name='channel0'/>
    </channel>
    <channel type='spicevmc'>
      <target type='virtio' name='com.redhat.spice.0' state='disconnected'/>
      <alias name='channel1'/>
    </channel>
    <input type='tablet' bus='usb'><alias name='input0'/></input>
    <input type='mouse' bus='ps2'><alias name='input1'/></input>
    <input type='keyboard' bus='ps2'><alias name='input2'/></input>
    <graphics type='spice' port='5900' autoport='yes' listen='127.0.0.1'>
      <listen type='address' address='127.0.0.1'/>
      <image compression='off'/>
    </graphics>
    <sound model='ich9'><alias name='sound0'/></sound>
    <audio id='1' type='spice'/>
    <video>
      <model type='virtio' heads='1' primary='yes'/>
      <alias name='video0'/>
    </video>
    <redirdev bus='usb' type='spicevmc'><alias name='redir0'/></redirdev>
    <watchdog model='itco' action='reset'><alias name='watchdog0'/></watchdog>
    <memballoon model='virtio'><stats period='5'/><alias name='balloon0'/></memballoon>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
      <alias name='rng0'/>
    </rng>
  </devices>
  <seclabel type='dynamic' model='apparmor' relabel='yes'>
    <label>libvirt-0bd2f1a6</label>
  </seclabel>
</domain>
";

#[test]
fn lists_what_stays_behind_of_a_running_machine() {
    let read = domain::read(RUNNING.as_bytes()).unwrap();
    let findings: Vec<_> = read
        .findings
        .iter()
        .map(|f| format!("{} {} (line {}): {}", f.code, f.path, f.line, f.message))
        .collect();
    assert_eq!(
        findings,
        [
            "W0104 /domain/os/nvram (line 20): the firmware's variables are not carried over",
            r#"W0203 /domain/devices/channel[2] (line 84): the channel "com.redhat.spice.0" is left out"#,
            r#"W0203 /domain/devices/graphics (line 91): the screen of type "spice" is left out"#,
            "W0204 /domain/devices/redirdev (line 101): is not understood and not carried over",
        ]
    );
}

#[test]
fn reads_a_running_machine_as_what_can_be_defined_anew() {
    let read = domain::read(RUNNING.as_bytes()).unwrap();
    insta::assert_snapshot!(domain::write(&read.machine).unwrap(), @r#"
    <domain type="kvm">
      <name>web01</name>
      <uuid>0bd2f1a6-6b1c-4a2e-9d3f-5a4b3c2d1e0f</uuid>
      <metadata>
        <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
          <libosinfo:os id="http://debian.org/debian/12"/>
        </libosinfo:libosinfo>
      </metadata>
      <memory unit="KiB">2097152</memory>
      <vcpu placement="static">2</vcpu>
      <os firmware="efi">
        <type arch="x86_64" machine="q35">hvm</type>
        <firmware>
          <feature enabled="no" name="secure-boot"/>
          <feature enabled="no" name="enrolled-keys"/>
        </firmware>
      </os>
      <features>
        <acpi/>
        <apic/>
      </features>
      <cpu mode="host-passthrough"/>
      <clock offset="utc">
        <timer name="rtc" tickpolicy="catchup"/>
        <timer name="pit" tickpolicy="delay"/>
        <timer name="hpet" present="no"/>
      </clock>
      <on_poweroff>destroy</on_poweroff>
      <on_reboot>restart</on_reboot>
      <on_crash>destroy</on_crash>
      <devices>
        <controller type="sata" index="0"/>
        <controller type="usb" index="0" model="qemu-xhci"/>
        <controller type="pci" index="1" model="pcie-root-port">
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x0" multifunction="on"/>
        </controller>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/var/lib/libvirt/images/web01.qcow2"/>
          <target dev="vda" bus="virtio"/>
          <boot order="1"/>
        </disk>
        <disk type="file" device="cdrom">
          <driver name="qemu" type="raw"/>
          <target dev="sda" bus="sata"/>
          <readonly/>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <interface type="network">
          <mac address="52:54:00:12:34:56"/>
          <source network="default"/>
          <model type="virtio"/>
          <address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/>
        </interface>
        <serial type="pty">
          <target type="isa-serial" port="0"/>
        </serial>
        <console type="pty">
          <target type="serial" port="0"/>
        </console>
        <channel type="unix">
          <target type="virtio" name="org.qemu.guest_agent.0"/>
        </channel>
        <input type="tablet" bus="usb"/>
        <graphics type="vnc" port="-1" autoport="yes" listen="127.0.0.1">
          <listen type="address" address="127.0.0.1"/>
        </graphics>
        <video>
          <model type="virtio" heads="1" primary="yes"/>
        </video>
        <sound model="ich9"/>
        <memballoon model="virtio"/>
        <rng model="virtio">
          <backend model="random">/dev/urandom</backend>
        </rng>
      </devices>
    </domain>
    "#);
}

#[test]
fn finds_nothing_hostile_in_a_running_machine() {
    let scrubbed = domain::scrub(RUNNING.as_bytes()).unwrap();
    assert_eq!(scrubbed.findings, []);
    assert_eq!(scrubbed.text, RUNNING);
}
