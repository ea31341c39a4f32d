//! The text of typical machines.

use insta::assert_snapshot;

use crate::machines;

fn written(machine: &vm::Machine) -> String {
    domain::write(machine).expect("each machine of these tests is sound")
}

#[test]
fn writes_an_emulated_i440fx_with_ide_and_a_floppy() {
    assert_snapshot!(written(&machines::ide_on_pc()), @r#"
    <domain type="qemu">
      <name>old</name>
      <memory unit="KiB">524288</memory>
      <vcpu placement="static">1</vcpu>
      <os>
        <type arch="x86_64" machine="pc">hvm</type>
      </os>
      <features>
        <acpi/>
        <apic/>
      </features>
      <cpu mode="maximum">
        <feature policy="disable" name="la57"/>
      </cpu>
      <clock offset="utc">
        <timer name="rtc" tickpolicy="catchup"/>
        <timer name="pit" tickpolicy="delay"/>
        <timer name="hpet" present="no"/>
      </clock>
      <on_poweroff>destroy</on_poweroff>
      <on_reboot>restart</on_reboot>
      <on_crash>destroy</on_crash>
      <devices>
        <controller type="ide" index="0"/>
        <controller type="fdc" index="0"/>
        <controller type="usb" index="0" model="piix3-uhci"/>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/old-disk0.qcow2"/>
          <target dev="hda" bus="ide"/>
          <serial>old-0</serial>
          <boot order="1"/>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <disk type="file" device="cdrom">
          <driver name="qemu" type="raw"/>
          <source file="/images/old cd &amp; more.iso"/>
          <target dev="hdc" bus="ide"/>
          <readonly/>
          <boot order="2"/>
          <address type="drive" controller="0" bus="1" target="0" unit="0"/>
        </disk>
        <disk type="file" device="floppy">
          <driver name="qemu" type="raw"/>
          <target dev="fda" bus="fdc"/>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <interface type="user">
          <model type="pcnet"/>
          <address type="pci" domain="0x0000" bus="0x00" slot="0x03" function="0x0"/>
        </interface>
        <serial type="pty">
          <target type="isa-serial" port="0"/>
        </serial>
        <console type="pty">
          <target type="serial" port="0"/>
        </console>
        <input type="tablet" bus="usb"/>
        <graphics type="vnc" port="-1" autoport="yes" listen="127.0.0.1">
          <listen type="address" address="127.0.0.1"/>
        </graphics>
        <video>
          <model type="vga" heads="1" primary="yes"/>
        </video>
        <sound model="sb16"/>
        <memballoon model="none"/>
      </devices>
    </domain>
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a snapshot is as long as what it shows")]
fn writes_a_q35_with_uefi_sata_and_three_cards() {
    assert_snapshot!(written(&machines::sata_on_uefi()), @r#"
    <domain type="kvm">
      <name>web &lt;1&gt; &amp; "co"</name>
      <uuid>30313233-3435-3637-3839-616263646566</uuid>
      <title>web/1</title>
      <description>Made by &lt;b&gt;somebody&lt;/b&gt; &amp; sons,
    in two lines.</description>
      <metadata>
        <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
          <libosinfo:os id="http://debian.org/debian/12"/>
        </libosinfo:libosinfo>
      </metadata>
      <memory unit="KiB">524288</memory>
      <vcpu placement="static">4</vcpu>
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
      <cpu mode="host-model">
        <topology sockets="2" dies="1" cores="2" threads="1"/>
        <feature policy="optional" name="vmx"/>
        <feature policy="optional" name="svm"/>
      </cpu>
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
        <controller type="sata" index="1"/>
        <controller type="usb" index="0" model="qemu-xhci"/>
        <controller type="pci" index="1" model="pcie-root-port">
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x0" multifunction="on"/>
        </controller>
        <controller type="pci" index="2" model="pcie-root-port">
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x1"/>
        </controller>
        <controller type="pci" index="3" model="pcie-root-port">
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x2"/>
        </controller>
        <controller type="pci" index="4" model="pcie-to-pci-bridge">
          <address type="pci" domain="0x0000" bus="0x03" slot="0x00" function="0x0"/>
        </controller>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/web-disk0.qcow2"/>
          <target dev="sda" bus="sata"/>
          <serial>web-0</serial>
          <boot order="1"/>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <disk type="file" device="disk">
          <driver name="qemu" type="raw" discard="unmap"/>
          <source file="/images/web-disk1.qcow2"/>
          <target dev="sdb" bus="sata"/>
          <serial>web-1</serial>
          <address type="drive" controller="1" bus="0" target="0" unit="5"/>
        </disk>
        <disk type="file" device="cdrom">
          <driver name="qemu" type="raw"/>
          <target dev="sdc" bus="sata"/>
          <readonly/>
          <address type="drive" controller="0" bus="0" target="0" unit="1"/>
        </disk>
        <interface type="network">
          <mac address="52:54:00:01:02:03"/>
          <source network="default"/>
          <model type="vmxnet3"/>
          <boot order="2"/>
          <address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/>
        </interface>
        <interface type="bridge">
          <source bridge="br-dmz"/>
          <vlan>
            <tag id="30"/>
          </vlan>
          <model type="e1000e"/>
          <link state="down"/>
          <address type="pci" domain="0x0000" bus="0x02" slot="0x00" function="0x0"/>
        </interface>
        <interface type="user">
          <model type="e1000"/>
          <link state="down"/>
          <address type="pci" domain="0x0000" bus="0x04" slot="0x01" function="0x0"/>
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
          <model type="vga" vram="32768" heads="1" primary="yes"/>
        </video>
        <memballoon model="virtio"/>
        <rng model="virtio">
          <backend model="random">/dev/urandom</backend>
        </rng>
      </devices>
    </domain>
    "#);
}

#[test]
fn writes_each_paravirtual_scsi_disk_at_a_target_of_its_own() {
    assert_snapshot!(written(&machines::paravirtual_scsi()), @r#"
    <domain type="kvm">
      <name>pvscsi</name>
      <memory unit="KiB">524288</memory>
      <vcpu placement="static">1</vcpu>
      <os>
        <type arch="x86_64" machine="q35">hvm</type>
      </os>
      <features>
        <acpi/>
        <apic/>
      </features>
      <cpu mode="host-model"/>
      <clock offset="utc">
        <timer name="rtc" tickpolicy="catchup"/>
        <timer name="pit" tickpolicy="delay"/>
        <timer name="hpet" present="no"/>
      </clock>
      <on_poweroff>destroy</on_poweroff>
      <on_reboot>restart</on_reboot>
      <on_crash>destroy</on_crash>
      <devices>
        <controller type="scsi" index="0" model="vmpvscsi"/>
        <controller type="usb" index="0" model="none"/>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/pvscsi-disk0.qcow2"/>
          <target dev="sda" bus="scsi"/>
          <serial>pvscsi-0</serial>
          <boot order="1"/>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/pvscsi-disk1.qcow2"/>
          <target dev="sdb" bus="scsi"/>
          <readonly/>
          <serial>pvscsi-1</serial>
          <address type="drive" controller="0" bus="0" target="15" unit="0"/>
        </disk>
        <memballoon model="none"/>
      </devices>
    </domain>
    "#);
}

#[test]
fn writes_a_world_wide_name_for_each_sas_disk() {
    assert_snapshot!(written(&machines::sas()), @r#"
    <domain type="kvm">
      <name>sas</name>
      <memory unit="KiB">524288</memory>
      <vcpu placement="static">1</vcpu>
      <os>
        <type arch="x86_64" machine="q35">hvm</type>
      </os>
      <features>
        <acpi/>
        <apic/>
      </features>
      <cpu mode="host-model"/>
      <clock offset="utc">
        <timer name="rtc" tickpolicy="catchup"/>
        <timer name="pit" tickpolicy="delay"/>
        <timer name="hpet" present="no"/>
      </clock>
      <on_poweroff>destroy</on_poweroff>
      <on_reboot>restart</on_reboot>
      <on_crash>destroy</on_crash>
      <devices>
        <controller type="scsi" index="0" model="lsisas1068"/>
        <controller type="usb" index="0" model="none"/>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/sas-disk0.qcow2"/>
          <target dev="sda" bus="scsi"/>
          <serial>sas-0</serial>
          <wwn>5000c5000a0b0c0d</wwn>
          <boot order="1"/>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/sas-disk1.qcow2"/>
          <target dev="sdb" bus="scsi"/>
          <serial>sas-1</serial>
          <wwn>0000000000000c0d</wwn>
          <address type="drive" controller="0" bus="0" target="1" unit="0"/>
        </disk>
        <memballoon model="none"/>
      </devices>
    </domain>
    "#);
}

#[test]
fn writes_windows_with_secure_boot_and_enlightenments() {
    assert_snapshot!(written(&machines::windows()), @r#"
    <domain type="kvm">
      <name>win11</name>
      <metadata>
        <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0">
          <libosinfo:os id="http://microsoft.com/win/11"/>
        </libosinfo:libosinfo>
      </metadata>
      <memory unit="KiB">524288</memory>
      <vcpu placement="static">1</vcpu>
      <os firmware="efi">
        <type arch="x86_64" machine="q35">hvm</type>
        <firmware>
          <feature enabled="yes" name="secure-boot"/>
          <feature enabled="yes" name="enrolled-keys"/>
        </firmware>
      </os>
      <features>
        <acpi/>
        <apic/>
        <hyperv mode="custom">
          <relaxed state="on"/>
          <vapic state="on"/>
          <spinlocks state="on" retries="8191"/>
          <vpindex state="on"/>
          <runtime state="on"/>
          <synic state="on"/>
          <stimer state="on"/>
        </hyperv>
      </features>
      <cpu mode="host-model"/>
      <clock offset="localtime">
        <timer name="rtc" tickpolicy="catchup"/>
        <timer name="pit" tickpolicy="delay"/>
        <timer name="hpet" present="no"/>
        <timer name="hypervclock" present="yes"/>
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
          <source file="/images/win11-disk0.qcow2"/>
          <target dev="sda" bus="sata"/>
          <serial>win11-0</serial>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <interface type="network">
          <source network="default"/>
          <model type="e1000e"/>
          <address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/>
        </interface>
        <input type="tablet" bus="usb"/>
        <tpm model="tpm-crb">
          <backend type="emulator" version="2.0"/>
        </tpm>
        <graphics type="vnc" port="-1" autoport="yes" listen="127.0.0.1">
          <listen type="address" address="127.0.0.1"/>
        </graphics>
        <video>
          <model type="vga" vram="16384" heads="1" primary="yes"/>
        </video>
        <sound model="ich9"/>
        <memballoon model="none"/>
      </devices>
    </domain>
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "a snapshot is as long as what it shows")]
fn writes_many_processors_and_virtio() {
    assert_snapshot!(written(&machines::everything_else()), @r#"
    <domain type="kvm">
      <name>rest</name>
      <memory unit="KiB">524288</memory>
      <vcpu placement="static">256</vcpu>
      <os>
        <type arch="x86_64" machine="q35">hvm</type>
      </os>
      <features>
        <acpi/>
        <apic/>
        <ioapic driver="qemu"/>
      </features>
      <cpu mode="custom" match="exact" check="partial">
        <model fallback="forbid">EPYC-Rome</model>
      </cpu>
      <clock offset="utc">
        <timer name="rtc" tickpolicy="catchup"/>
        <timer name="pit" tickpolicy="delay"/>
        <timer name="hpet" present="no"/>
      </clock>
      <on_poweroff>destroy</on_poweroff>
      <on_reboot>restart</on_reboot>
      <on_crash>destroy</on_crash>
      <devices>
        <controller type="scsi" index="0" model="virtio-scsi"/>
        <controller type="scsi" index="1" model="lsilogic"/>
        <controller type="usb" index="0" model="ich9-ehci1"/>
        <controller type="usb" index="0" model="ich9-uhci1">
          <master startport="0"/>
        </controller>
        <controller type="usb" index="0" model="ich9-uhci2">
          <master startport="2"/>
        </controller>
        <controller type="usb" index="0" model="ich9-uhci3">
          <master startport="4"/>
        </controller>
        <controller type="pci" index="1" model="pcie-root-port">
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x0" multifunction="on"/>
        </controller>
        <controller type="pci" index="2" model="pcie-root-port">
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x1"/>
        </controller>
        <controller type="pci" index="3" model="pcie-to-pci-bridge">
          <address type="pci" domain="0x0000" bus="0x02" slot="0x00" function="0x0"/>
        </controller>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/rest-disk0.qcow2"/>
          <target dev="vda" bus="virtio"/>
          <serial>rest-0</serial>
        </disk>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/rest-disk1.qcow2"/>
          <target dev="sda" bus="scsi"/>
          <address type="drive" controller="0" bus="0" target="99" unit="0"/>
        </disk>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/rest-disk2.qcow2"/>
          <target dev="sdb" bus="scsi"/>
          <serial>rest-2</serial>
          <address type="drive" controller="1" bus="0" target="0" unit="6"/>
        </disk>
        <interface type="user">
          <model type="virtio"/>
          <address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/>
        </interface>
        <interface type="user">
          <model type="rtl8139"/>
          <address type="pci" domain="0x0000" bus="0x03" slot="0x01" function="0x0"/>
        </interface>
        <serial type="pty">
          <target type="isa-serial" port="0"/>
        </serial>
        <serial type="pty">
          <target type="isa-serial" port="1"/>
        </serial>
        <console type="pty">
          <target type="serial" port="0"/>
        </console>
        <input type="tablet" bus="usb"/>
        <graphics type="vnc" port="-1" autoport="yes" listen="127.0.0.1">
          <listen type="address" address="127.0.0.1"/>
        </graphics>
        <video>
          <model type="virtio" heads="1" primary="yes"/>
        </video>
        <sound model="es1370"/>
        <memballoon model="none"/>
        <iommu model="intel">
          <driver intremap="on" eim="on"/>
        </iommu>
      </devices>
    </domain>
    "#);
}

#[test]
fn writes_the_same_bytes_each_time() {
    for machine in machines::all() {
        assert_eq!(written(&machine), written(&machine.clone()));
    }
}

#[test]
fn offers_no_enlightenments_to_an_emulated_windows() {
    let mut machine = machines::windows();
    assert!(written(&machine).contains("<hyperv mode=\"custom\">"));
    machine.accelerator = vm::Accelerator::Qemu;
    assert!(!written(&machine).contains("hyperv"));
}

#[test]
fn takes_the_words_for_a_mode_of_the_processor_as_such() {
    for mode in ["host-model", "host-passthrough", "maximum"] {
        let mut machine = machines::smallest();
        machine.cpus.model = Some(mode.into());
        assert!(written(&machine).contains(&format!("<cpu mode=\"{mode}\"/>")), "{mode}");
    }
}

#[test]
fn pulls_the_cable_of_a_card_that_is_plugged_into_nothing() {
    let mut machine = machines::ide_on_pc();
    assert!(!written(&machine).contains("<link"));
    machine.nics[0].target = vm::NicTarget::None;
    assert!(written(&machine).contains("<link state=\"down\"/>"));
}

#[test]
fn writes_room_to_grow_and_what_is_there_on_request() {
    assert_snapshot!(written(&machines::with_room()), @r#"
    <domain type="kvm">
      <name>room</name>
      <maxMemory unit="KiB" slots="16">4194304</maxMemory>
      <memory unit="KiB">524288</memory>
      <vcpu placement="static" current="2">8</vcpu>
      <os>
        <type arch="x86_64" machine="q35">hvm</type>
      </os>
      <features>
        <acpi/>
        <apic/>
        <pmu state="on"/>
        <ioapic driver="qemu"/>
      </features>
      <cpu mode="host-model">
        <topology sockets="2" dies="1" cores="4" threads="1"/>
        <feature policy="optional" name="vmx"/>
        <feature policy="optional" name="svm"/>
        <numa>
          <cell id="0" cpus="0-7" memory="524288" unit="KiB"/>
        </numa>
      </cpu>
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
        <controller type="usb" index="0" model="none"/>
        <disk type="file" device="disk">
          <driver name="qemu" type="qcow2" discard="unmap"/>
          <source file="/images/room-disk0.qcow2"/>
          <target dev="sda" bus="sata" rotation_rate="1"/>
          <serial>room-0</serial>
          <address type="drive" controller="0" bus="0" target="0" unit="0"/>
        </disk>
        <graphics type="vnc" port="-1" autoport="yes" listen="127.0.0.1">
          <listen type="address" address="127.0.0.1"/>
        </graphics>
        <video>
          <model type="virtio" heads="2" primary="yes"/>
        </video>
        <memballoon model="none"/>
        <watchdog model="i6300esb" action="none"/>
        <iommu model="intel">
          <driver intremap="on" caching_mode="on"/>
        </iommu>
      </devices>
    </domain>
    "#);
}

#[test]
fn writes_ports_that_show_the_slots_of_named_cards() {
    let text = written(&machines::named_cards());
    assert!(text.contains("xmlns:qemu=\"http://libvirt.org/schemas/domain/qemu/1.0\""));
    let (_, devices) = text.split_once("<devices>\n").unwrap();
    assert_snapshot!(devices, @r#"
        <controller type="usb" index="0" model="none"/>
        <controller type="pci" index="1" model="pcie-root-port">
          <alias name="ua-nic192"/>
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x0" multifunction="on"/>
        </controller>
        <controller type="pci" index="2" model="pcie-root-port">
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x1"/>
        </controller>
        <controller type="pci" index="3" model="pcie-to-pci-bridge">
          <address type="pci" domain="0x0000" bus="0x02" slot="0x00" function="0x0"/>
        </controller>
        <controller type="pci" index="4" model="pcie-root-port">
          <alias name="ua-nic160"/>
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x2"/>
        </controller>
        <controller type="pci" index="5" model="pcie-root-port">
          <alias name="ua-nic224"/>
          <address type="pci" domain="0x0000" bus="0x00" slot="0x02" function="0x3"/>
        </controller>
        <interface type="user">
          <model type="vmxnet3"/>
          <address type="pci" domain="0x0000" bus="0x01" slot="0x00" function="0x0"/>
        </interface>
        <interface type="user">
          <model type="e1000"/>
          <address type="pci" domain="0x0000" bus="0x03" slot="0x01" function="0x0"/>
        </interface>
        <interface type="user">
          <model type="e1000e"/>
          <address type="pci" domain="0x0000" bus="0x04" slot="0x00" function="0x0"/>
        </interface>
        <interface type="user">
          <model type="virtio"/>
          <address type="pci" domain="0x0000" bus="0x05" slot="0x00" function="0x0"/>
        </interface>
        <memballoon model="none"/>
      </devices>
      <qemu:commandline>
        <qemu:arg value="-global"/>
        <qemu:arg value="ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"/>
      </qemu:commandline>
      <qemu:override>
        <qemu:device alias="ua-nic192">
          <qemu:frontend>
            <qemu:property name="slot" type="unsigned" value="192"/>
          </qemu:frontend>
        </qemu:device>
        <qemu:device alias="ua-nic160">
          <qemu:frontend>
            <qemu:property name="slot" type="unsigned" value="160"/>
          </qemu:frontend>
        </qemu:device>
        <qemu:device alias="ua-nic224">
          <qemu:frontend>
            <qemu:property name="slot" type="unsigned" value="224"/>
          </qemu:frontend>
        </qemu:device>
      </qemu:override>
    </domain>
    "#);
}
