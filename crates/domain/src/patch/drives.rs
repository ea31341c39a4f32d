//! Drives on other images, without a medium, or gone.

use std::{collections::BTreeSet, path::Path};

use quick_xml::escape::escape;
use vm::DiskFormat;

use super::{Changes, Editor};
use crate::{
    Error, check,
    document::{Element, Shown},
    error::Item,
};

/// Makes every change of a drive.
pub(super) fn change(editor: &mut Editor<'_>, changes: &Changes) -> Result<(), Error> {
    for (name, image) in &changes.images {
        let (number, drive) = find(editor, name)?;
        check::require_image_path(Item::Disk(number), image)?;
        require_one_change(editor, drive, name, &changes.eject, "an image and none")?;
        require_one_change(editor, drive, name, &changes.detach, "an image and to go")?;
        move_to_file(editor, drive, image)?;
    }
    for (name, format) in &changes.formats {
        let (_, drive) = find(editor, name)?;
        require_one_change(editor, drive, name, &changes.detach, "a format and to go")?;
        set_format(editor, drive, *format);
    }
    for name in &changes.eject {
        let (_, drive) = find(editor, name)?;
        require_one_change(editor, drive, name, &changes.detach, "no medium and to go")?;
        eject(editor, drive)?;
    }
    for name in &changes.detach {
        let (_, drive) = find(editor, name)?;
        editor.remove(drive);
    }
    Ok(())
}

/// The only drive of a name, and its number.
fn find<'d>(editor: &Editor<'d>, name: &str) -> Result<(usize, &'d Element<'d>), Error> {
    let is_it = |drive: &&Element<'_>| drive.child_value("target", "dev") == Some(name);
    let mut found = editor.devices("disk").enumerate().filter(|(_, drive)| is_it(drive));
    let missing = || editor.missing(&format!("no drive {}", Shown(name)));
    let (number, drive) = found.next().ok_or_else(missing)?;
    match found.next() {
        None => Ok((number, drive)),
        Some((_, other)) => {
            let message = format!("a second drive is called {}", Shown(name));
            Err(editor.contradiction(other, &message))
        }
    }
}

fn require_one_change(
    editor: &Editor<'_>,
    drive: &Element<'_>,
    name: &str,
    others: &BTreeSet<String>,
    what: &str,
) -> Result<(), Error> {
    if others.contains(name) {
        let message = format!("the drive {} is to have {what}", Shown(name));
        return Err(editor.contradiction(drive, &message));
    }
    Ok(())
}

fn move_to_file(editor: &mut Editor<'_>, drive: &Element<'_>, image: &Path) -> Result<(), Error> {
    if drive.value("device") == Some("lun") {
        return Err(editor.unsupported(drive, "a drive of type \"lun\" is on no file"));
    }
    let path = image.to_string_lossy();
    let is_file = drive.value("type").unwrap_or("file") == "file";
    if !is_file {
        editor.set_attribute(drive, "type", "file");
    }
    let new = format!("<source file=\"{}\"/>", escape(&*path));
    let mut sources = drive.all("source");
    match sources.next() {
        Some(source) if is_file => {
            editor.set_attribute(source, "file", &path);
            // What the old image's host knew it by, and the part of it that was the disk.
            let gone = source.all("seclabel").chain(source.all("slices"));
            gone.for_each(|element| editor.remove(element));
        }
        // How to reach a device or a server says nothing of a file.
        Some(source) => editor.replace(source, new),
        None => editor.prepend(drive, &new),
    }
    sources.for_each(|second| editor.remove(second));
    drive.all("backingStore").for_each(|chain| editor.remove(chain));
    Ok(())
}

fn set_format(editor: &mut Editor<'_>, drive: &Element<'_>, format: DiskFormat) {
    let name = format.as_str();
    match drive.first("driver") {
        Some(driver) => editor.set_attribute(driver, "type", name),
        None => editor.prepend(drive, &format!("<driver name=\"qemu\" type=\"{name}\"/>")),
    }
}

fn eject(editor: &mut Editor<'_>, drive: &Element<'_>) -> Result<(), Error> {
    let device = drive.value("device").unwrap_or("disk");
    if !matches!(device, "cdrom" | "floppy") {
        let message = format!("a drive of type {} has no medium to take out", Shown(device));
        return Err(editor.unsupported(drive, &message));
    }
    if drive.value("type").is_some_and(|kind| kind != "file") {
        editor.set_attribute(drive, "type", "file");
    }
    let gone = drive.all("source").chain(drive.all("backingStore"));
    gone.for_each(|element| editor.remove(element));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch;

    const DOMAIN: &str = "<domain type='kvm'>
  <name>n</name>
  <devices>
    <disk type='file' device='disk'>
      <source file='/old/a' index='1'><seclabel model='dac' relabel='no'/><slices/></source>
      <backingStore type='file'/>
      <target dev='vda'/>
    </disk>
    <disk type='block'><driver name='qemu' cache='none'/><source dev=\"/dev/x\"><reservations managed='yes'/></source><target dev='vdb'/></disk>
    <disk type='network'><driver type='raw'/><source protocol='rbd' name='p/i'><host name='h'/></source><target dev='vdc'/></disk>
    <disk type='volume'><source pool='p' volume='v'/><source file='/second'/><target dev='vdd'/></disk>
    <disk device='cdrom'><target dev='sda'/></disk>
    <disk type='block' device='cdrom'>
      <source dev='/dev/sr0'/>
      <target dev='sdb'/>
    </disk>
    <disk type='block' device='lun'><source dev='/dev/y'/><target dev='sdc'/></disk>
  </devices>
</domain>
";

    fn assert_patch(changes: &Changes, replaced: &[(&str, &str)]) {
        let mut want = DOMAIN.to_owned();
        for (old, new) in replaced {
            assert!(want.contains(old), "{old}");
            want = want.replace(old, new);
        }
        assert_eq!(patch(DOMAIN.as_bytes(), changes).unwrap(), want);
    }

    fn refusal(changes: &Changes) -> String {
        patch(DOMAIN.as_bytes(), changes).unwrap_err().to_string()
    }

    fn images(moved: &[(&str, &str)]) -> Changes {
        let images = moved.iter().map(|(name, path)| ((*name).to_owned(), path.into()));
        Changes { images: images.collect(), ..Changes::default() }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn moves_drives_from_anywhere_to_files() {
        let changes = images(&[
            ("vda", "/a"),
            ("vdb", "/b & c"),
            ("vdc", "/c"),
            ("vdd", "/d"),
            ("sda", "/e"),
        ]);
        assert_patch(
            &changes,
            &[
                (
                    "<source file='/old/a' index='1'><seclabel model='dac' relabel='no'/><slices/></source>\n      <backingStore type='file'/>\n",
                    "<source file=\"/a\" index='1'></source>\n",
                ),
                ("type='block'><driver", "type=\"file\"><driver"),
                (
                    "<source dev=\"/dev/x\"><reservations managed='yes'/></source>",
                    "<source file=\"/b &amp; c\"/>",
                ),
                ("type='network'", "type=\"file\""),
                (
                    "<source protocol='rbd' name='p/i'><host name='h'/></source>",
                    "<source file=\"/c\"/>",
                ),
                ("type='volume'", "type=\"file\""),
                ("<source pool='p' volume='v'/><source file='/second'/>", "<source file=\"/d\"/>"),
                ("<disk device='cdrom'>", "<disk device='cdrom'><source file=\"/e\"/>"),
            ],
        );
    }

    #[test]
    fn says_the_format_where_there_is_a_driver_and_where_there_is_none() {
        let formats =
            [("vda", DiskFormat::Qcow2), ("vdb", DiskFormat::Raw), ("vdc", DiskFormat::Qcow2)];
        let formats = formats.map(|(name, format)| (name.to_owned(), format)).into();
        assert_patch(
            &Changes { formats, ..Changes::default() },
            &[
                ("device='disk'>", "device='disk'><driver name=\"qemu\" type=\"qcow2\"/>"),
                ("<driver name='qemu' cache", "<driver type=\"raw\" name='qemu' cache"),
                ("<driver type='raw'/>", "<driver type=\"qcow2\"/>"),
            ],
        );
    }

    #[test]
    fn gives_an_empty_drive_an_image_and_its_format() {
        let formats = [("sda".to_owned(), DiskFormat::Raw)].into();
        assert_patch(
            &Changes { formats, ..images(&[("sda", "/cd.iso")]) },
            &[(
                "<disk device='cdrom'>",
                "<disk device='cdrom'><source file=\"/cd.iso\"/><driver name=\"qemu\" type=\"raw\"/>",
            )],
        );
    }

    #[test]
    fn takes_media_out_and_leaves_the_drives() {
        assert_patch(
            &Changes { eject: names(&["sda", "sdb"]), ..Changes::default() },
            &[(
                "<disk type='block' device='cdrom'>\n      <source dev='/dev/sr0'/>\n",
                "<disk type=\"file\" device='cdrom'>\n",
            )],
        );
    }

    #[test]
    fn takes_drives_away_with_their_lines() {
        assert_patch(
            &Changes { detach: names(&["sdb", "sdc"]), ..Changes::default() },
            &[(
                "
    <disk type='block' device='cdrom'>
      <source dev='/dev/sr0'/>
      <target dev='sdb'/>
    </disk>
    <disk type='block' device='lun'><source dev='/dev/y'/><target dev='sdc'/></disk>",
                "",
            )],
        );
    }

    #[test]
    fn refuses_what_cannot_be_done_to_a_drive() {
        let lun = "/domain/devices/disk[7], line 17";
        let first = "/domain/devices/disk[1], line 4";
        for (changes, want) in [
            (
                images(&[("vdz", "/a")]),
                r#"the domain has no drive "vdz" (/domain, line 1)"#.to_owned(),
            ),
            (
                Changes { detach: names(&["vdz"]), ..Changes::default() },
                r#"the domain has no drive "vdz" (/domain, line 1)"#.to_owned(),
            ),
            (images(&[("vda", "a")]), r#"disk 0: image path "a" is not absolute"#.to_owned()),
            (images(&[("sdc", "/a")]), format!(r#"a drive of type "lun" is on no file ({lun})"#)),
            (
                Changes { eject: names(&["sdc"]), ..Changes::default() },
                format!(r#"a drive of type "lun" has no medium to take out ({lun})"#),
            ),
            (
                Changes { eject: names(&["vda"]), ..images(&[("vda", "/a")]) },
                format!(r#"the drive "vda" is to have an image and none ({first})"#),
            ),
            (
                Changes { detach: names(&["vda"]), ..images(&[("vda", "/a")]) },
                format!(r#"the drive "vda" is to have an image and to go ({first})"#),
            ),
        ] {
            assert_eq!(refusal(&changes), want);
        }
    }

    #[test]
    fn refuses_a_name_that_two_drives_have() {
        let text = "<domain><name>n</name><devices><disk><target dev='vda'/></disk>\
                    <disk><target dev='vda'/></disk></devices></domain>";
        let error = patch(text.as_bytes(), &images(&[("vda", "/a")])).unwrap_err();
        let want = r#"a second drive is called "vda" (/domain/devices/disk[2], line 1)"#;
        assert_eq!(error.to_string(), want);
    }
}
