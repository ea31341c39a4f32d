//! Firmware, secure boot and the trusted platform module.

use code::Code;

use super::{Firmware, Selector};
use crate::{
    Finding,
    descriptor::{Item, VirtualSystem},
    quote, xml,
};

/// The subtype of VMware's virtual TPM; its resource type is 1 or 34.
const VTPM: &str = "vmware.vtpm";
/// oVirt's `BiosType` of q35 with UEFI; the next one adds secure boot.
const OVIRT_UEFI: u32 = 3;
const OVIRT_SECURE_BOOT: u32 = 4;

/// What a descriptor says of the firmware.
pub(super) struct FirmwareFacts {
    pub(super) firmware: Option<Firmware>,
    pub(super) secure_boot: Option<bool>,
    pub(super) tpm: bool,
}

impl Selector<'_> {
    /// Reads the firmware: VirtualBox's own word, then VMware's keys, then oVirt's number.
    pub(super) fn firmware(&mut self, system: &VirtualSystem, items: &[&Item]) -> FirmwareFacts {
        let hardware = &system.hardware;
        let vbox = system.vbox.as_ref();
        let word = vbox
            .and_then(|machine| machine.firmware.as_deref())
            .or_else(|| hardware.setting("firmware"))
            .map(str::trim)
            .filter(|word| !word.is_empty());
        let secure_boot = hardware
            .setting("bootOptions.efiSecureBootEnabled")
            .or_else(|| hardware.setting("uefi.secureBoot.enabled"))
            .and_then(xml::boolean);
        let ovirt = hardware.ovirt_bios_type;
        FirmwareFacts {
            firmware: word.map(|word| self.firmware_of(word, system)).or_else(|| {
                ovirt.map(|n| if n >= OVIRT_UEFI { Firmware::Efi } else { Firmware::Bios })
            }),
            secure_boot: vbox
                .and_then(|machine| machine.secure_boot)
                .or(secure_boot)
                .or_else(|| ovirt.map(|n| n == OVIRT_SECURE_BOOT)),
            tpm: vbox.is_some_and(|machine| machine.tpm.is_some())
                || items.iter().any(|item| item.subtype_words().iter().any(|word| word == VTPM)),
        }
    }

    fn firmware_of(&mut self, word: &str, system: &VirtualSystem) -> Firmware {
        let lower = word.to_ascii_lowercase();
        // VirtualBox writes EFI, EFI32, EFI64 and EFIDUAL.
        if lower.starts_with("efi") || lower == "uefi" {
            return Firmware::Efi;
        }
        if lower != "bios" {
            let message = format!("the firmware {} is read as BIOS", quote::Quoted(word));
            let mut finding = Finding::new(Code::W0108, message).at_line(system.origin.line);
            finding.path = Some(system.origin.path.clone());
            self.findings.push(finding);
        }
        Firmware::Bios
    }
}
