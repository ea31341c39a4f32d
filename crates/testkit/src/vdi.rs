//! VDIs of any guest bytes.

/// The size of a block, as VirtualBox has it.
const BLOCK: usize = 1 << 20;

/// Where the block map is, behind the header.
const MAP: usize = 512;

/// A dynamic VDI of these bytes; blocks of zeros are left out.
#[must_use]
pub fn vdi_dynamic(disk: &[u8]) -> Vec<u8> {
    vdi(disk, 1)
}

/// A static VDI of these bytes, in which every block is there.
#[must_use]
pub fn vdi_static(disk: &[u8]) -> Vec<u8> {
    vdi(disk, 2)
}

fn vdi(disk: &[u8], image_type: usize) -> Vec<u8> {
    let (mut map, mut data) = (Vec::new(), Vec::new());
    for block in disk.chunks(BLOCK) {
        if image_type == 1 && block.iter().all(|byte| *byte == 0) {
            map.extend([0xff; 4]);
            continue;
        }
        let number = u32::try_from(data.len() / BLOCK).expect("a small disk");
        map.extend(number.to_le_bytes());
        data.extend_from_slice(block);
        data.resize(data.len().next_multiple_of(BLOCK), 0);
    }
    let blocks = map.len() / 4;
    map.resize(map.len().next_multiple_of(512), 0);
    let mut header = vec![0; MAP];
    header[..22].copy_from_slice(b"<<< made in a test >>>");
    for (at, value) in [
        (64, 0xbeda_107f),
        (68, 0x0001_0001),
        (72, 400),
        (76, image_type),
        (340, MAP),
        (344, MAP + map.len()),
        (360, 512),
        (368, disk.len()),
        (376, BLOCK),
        (384, blocks),
        (388, data.len() / BLOCK),
        (392, 1),
    ] {
        let value = u32::try_from(value).expect("a small number");
        header[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    [header, map, data].concat()
}
