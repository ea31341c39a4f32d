//! The boot sector of the demo disk.
//!
//! It sets the first serial port to 115200 8N1, prints its line there and on the screen, and halts.
//! Written for this project; the listing beside the bytes is their source.

/// What the demo guest prints on its serial console.
pub(super) const LINE: &str = "relift demo: booted";

/// Real-mode code, loaded by the BIOS at 0000:7c00.
#[rustfmt::skip]
const CODE: [u8; 69] = [
    0xfa,                   // cli
    0x31, 0xc0,             // xor  ax, ax
    0x8e, 0xd8,             // mov  ds, ax
    0x8e, 0xd0,             // mov  ss, ax
    0xbc, 0x00, 0x7c,       // mov  sp, 7c00h
    0xfc,                   // cld
    0xba, 0xfb, 0x03,       // mov  dx, 3fbh        line control
    0xb0, 0x80,             // mov  al, 80h         divisor latch
    0xee,                   // out  dx, al
    0xba, 0xf8, 0x03,       // mov  dx, 3f8h
    0xb0, 0x01,             // mov  al, 1           115200 baud
    0xee,                   // out  dx, al
    0x42,                   // inc  dx
    0x30, 0xc0,             // xor  al, al
    0xee,                   // out  dx, al
    0xba, 0xfb, 0x03,       // mov  dx, 3fbh
    0xb0, 0x03,             // mov  al, 3           8 bits, no parity, 1 stop bit
    0xee,                   // out  dx, al
    0xbe, 0x45, 0x7c,       // mov  si, 7c45h       the line, behind this code
    0xac,                   // next: lodsb
    0x84, 0xc0,             // test al, al
    0x74, 0x19,             // jz   done
    0x88, 0xc1,             // mov  cl, al
    0xba, 0xfd, 0x03,       // wait: mov dx, 3fdh   line status
    0xec,                   // in   al, dx
    0xa8, 0x20,             // test al, 20h         ready to send?
    0x74, 0xf8,             // jz   wait
    0x88, 0xc8,             // mov  al, cl
    0xba, 0xf8, 0x03,       // mov  dx, 3f8h
    0xee,                   // out  dx, al
    0xb4, 0x0e,             // mov  ah, 0eh         teletype
    0xbb, 0x07, 0x00,       // mov  bx, 7
    0xcd, 0x10,             // int  10h
    0xeb, 0xe2,             // jmp  next
    0xf4,                   // done: hlt
    0xeb, 0xfd,             // jmp  done
];

/// The first sector of the disk.
pub(super) fn sector() -> [u8; 512] {
    let mut sector = [0; 512];
    let line = format!("{LINE}\r\n");
    let bytes = CODE.iter().chain(line.as_bytes()).copied();
    for (slot, byte) in sector.iter_mut().zip(bytes) {
        *slot = byte;
    }
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
}
