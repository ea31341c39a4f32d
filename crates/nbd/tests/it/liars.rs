//! Servers that break the protocol, fall silent, or cannot read.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
    time::Duration,
};

use disk::Image as _;
use nbd::{ALLOCATION, Client, Kind, NbdImage, Options};
use testkit::{NbdExport, NbdRequest, content, nbd_chunk};

use crate::server::{NAME, connect, over};

const BITMAP: &str = "qemu:dirty-bitmap:cp1";
const READ: u16 = 0;

/// What a server says to a request.
type Answer = fn(&NbdRequest) -> Vec<u8>;

fn export() -> NbdExport {
    NbdExport::new(NAME, content(64 << 10))
        .context(ALLOCATION, &[(64 << 10, 0)])
        .context(BITMAP, &[(64 << 10, 1)])
}

/// What a client says of an answer to a read of 4096 bytes from byte 8192 on.
fn read(answer: Answer) -> (Kind, String) {
    let client = connect(&export(), &[], move |_, request| Some(answer(request)));
    let client = client.expect("an honest handshake");
    let error = client.read_exact_at(&mut [0; 4096], 8192).expect_err("no answer to it");
    (error.kind(), error.to_string())
}

/// As [`read`], of an answer to a map of the whole disk.
fn map(answer: Answer) -> (Kind, String) {
    let contexts = [ALLOCATION, BITMAP];
    let client = connect(&export(), &contexts, move |_, request| Some(answer(request)));
    let client = client.expect("an honest handshake");
    let mut runs = client.map(&contexts, 0..64 << 10).expect("a map that was agreed on");
    let error = runs.next().expect("something").expect_err("no answer to it");
    (error.kind(), error.to_string())
}

fn many(parts: &[Vec<u8>]) -> Vec<u8> {
    parts.concat()
}

fn simple(request: &NbdRequest, error: u32) -> Vec<u8> {
    let numbers = [0x6744_6698_u32, error].map(u32::to_be_bytes).concat();
    [&numbers[..], &request.cookie.to_be_bytes()].concat()
}

#[test]
fn wrong_replies_to_a_read_are_never_bytes() {
    let cases: [(Answer, &str); 15] = [
        (
            |r| many(&[r.data(8192, &[1; 2048]), r.data(10_239, &[1; 2049]), r.done()]),
            "a chunk of 2049 bytes from byte 10239 on overlaps an earlier one, at byte 8192",
        ),
        (
            |r| many(&[r.hole(8192, 4096), r.hole(8192, 1), r.done()]),
            "a chunk of 1 bytes from byte 8192 on overlaps an earlier one, at byte 8192",
        ),
        (
            |r| many(&[r.data(8192, &[1; 2048]), r.hole(10_752, 1536), r.done()]),
            "a reply ends without all that was asked for, at byte 10240",
        ),
        (NbdRequest::done, "a reply ends without all that was asked for, at byte 8192"),
        (
            |r| r.data(8191, &[1; 4096]),
            "a chunk of 4096 bytes from byte 8191 on, 4096 from byte 8192 on were asked for, at byte 8192",
        ),
        (
            |r| r.hole(8192, u32::MAX),
            "a chunk of 4294967295 bytes from byte 8192 on, 4096 from byte 8192 on were asked for, at byte 8192",
        ),
        (
            |r| r.hole(u64::MAX, 1),
            "a chunk of 1 bytes from byte 18446744073709551615 on, 4096 from byte 8192 on were asked for, at byte 8192",
        ),
        (
            |r| r.data(8192, &[]),
            "a chunk of 0 bytes from byte 8192 on, 4096 from byte 8192 on were asked for, at byte 8192",
        ),
        (|r| nbd_chunk(r.cookie, 1, 0, &[0; 7]), "a chunk of type 1 with 7 bytes, at byte 8192"),
        (|r| nbd_chunk(r.cookie, 2, 0, &[0; 13]), "a chunk of type 2 with 13 bytes, at byte 8192"),
        (|r| nbd_chunk(r.cookie, 0, 0, &[]), "a chunk of type 0 with 0 bytes, at byte 8192"),
        (|r| r.status(1, &[(4096, 0)]), "a chunk of type 5, which is no answer, at byte 8192"),
        (|r| simple(r, 0), "a reply without the structure that was agreed on, at byte 8192"),
        (
            |r| nbd_chunk(r.cookie, 0x8001, 1, &[0, 0, 0, 5, 0, 3, b'a', b'b']),
            "a text of 3 bytes in a chunk that has 2 for it, at byte 8192",
        ),
        (
            |r| nbd_chunk(r.cookie, 0x8001, 1, &[0; 5000]),
            "a chunk of type 32769 with 5000 bytes, at byte 8192",
        ),
    ];
    for (answer, want) in cases {
        let want = format!("export \"vda\": {want} of the disk");
        assert_eq!(read(answer), (Kind::Malformed, want));
    }
}

#[test]
fn replies_to_nobody_end_the_connection() {
    let want = "export \"vda\": a reply to request 77, which was not sent or is answered already, at \
                byte 8192 of the disk";
    let told = read(|_| nbd_chunk(77, 0, 1, &[]));
    assert_eq!(told, (Kind::Malformed, want.to_owned()));
    let told = read(|_| vec![0xab; 28]);
    let want = "export \"vda\": a reply begins with 0xabababab, at byte 8192 of the disk";
    assert_eq!(told, (Kind::Malformed, want.to_owned()));
    // A second answer to the first request, in front of the one to the second.
    let client = connect(&export(), &[], |export, request| {
        let again = NbdRequest { cookie: 1, ..*request };
        Some([export.answer(&again), export.answer(request)].concat())
    })
    .unwrap();
    client.read_exact_at(&mut [0; 512], 0).unwrap();
    let error = client.read_exact_at(&mut [0; 512], 0).unwrap_err().to_string();
    assert!(error.contains("a reply to request 1, which was not sent"), "{error}");
    let again = client.read_exact_at(&mut [0; 512], 512).unwrap_err().to_string();
    assert_eq!(again, error.replace("byte 0", "byte 512"), "nothing is read any more");
}

#[test]
fn a_reply_of_crumbs_ends() {
    let (kind, told) = read(|request| {
        let crumbs = request.range().step_by(2).map(|at| request.data(at, &[1]));
        crumbs.collect::<Vec<_>>().concat()
    });
    let want = "export \"vda\": a reply of over 72 chunks, at byte 8192 of the disk";
    assert_eq!((kind, told.as_str()), (Kind::Malformed, want));
}

#[test]
fn maps_that_do_not_fit_are_refused() {
    let cases: [(Answer, &str); 10] = [
        (
            |r| many(&[r.status(1, &[(0, 0)]), r.status(2, &[(512, 0)]), r.done()]),
            "a descriptor of 0 bytes is no multiple of 512",
        ),
        (
            |r| many(&[r.status(1, &[(512, 0), (100, 0)]), r.status(2, &[(512, 0)]), r.done()]),
            "a descriptor of 100 bytes is no multiple of 512",
        ),
        (
            |r| many(&[r.status(2, &[(66_048, 0)]), r.status(1, &[(512, 0)]), r.done()]),
            "descriptors up to byte 66048, 65536 bytes were asked for and 65536 are left",
        ),
        (
            |r| {
                let (all, more) = ((65_536, 0), (4_294_966_784, 0));
                many(&[r.status(1, &[(512, 0)]), r.status(2, &[all, more]), r.done()])
            },
            "descriptors up to byte 4295032320, 65536 bytes were asked for and 65536 are left",
        ),
        (
            |r| many(&[r.status(1, &[(512, 0)]), r.done()]),
            "a reply ends without the context qemu:dirty-bitmap:cp1",
        ),
        (
            |r| many(&[r.status(1, &[(512, 0)]), r.status(1, &[(512, 0)])]),
            "a map of context 1, which was not asked for or came before",
        ),
        (
            |r| r.status(3, &[(512, 0)]),
            "a map of context 3, which was not asked for or came before",
        ),
        (|r| r.status(1, &[]), "a chunk of type 5 with 4 bytes"),
        (
            |r| nbd_chunk(r.cookie, 5, 0, &[0, 0, 0, 1, 0, 0, 2, 0]),
            "a chunk of type 5 with 8 bytes",
        ),
        (
            |r| r.status(1, &[(512, 0); (1 << 18) + 1]),
            "a map of 262145 descriptors, at most 262144 are allowed",
        ),
    ];
    for (answer, want) in cases {
        let want = format!("export \"vda\": {want}, at byte 0 of the disk");
        assert_eq!(map(answer), (Kind::Malformed, want));
    }
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_goes_on() {
    let client = connect(&export(), &[ALLOCATION], |export, request| {
        if request.command == READ && request.offset != 8192 {
            return Some(export.answer(request));
        }
        let number = if request.command == READ { 5 } else { 95 };
        Some(request.error(number, "the \u{1b}medium is gone"))
    })
    .unwrap();
    let mut buf = [0; 4096];
    for _ in 0..3 {
        let error = client.read_exact_at(&mut buf, 8192).unwrap_err();
        let want = "export \"vda\": the server cannot tell 4096 bytes: input or output error, error 5 \
                    (it says \"the \\u{1b}medium is gone\"), at byte 8192 of the disk";
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Io, want));
        client.read_exact_at(&mut buf, 4096).unwrap();
        assert!(buf == content(64 << 10)[4096..8192]);
    }
    let image = NbdImage::full(Arc::new(client));
    let told: Vec<_> = image.extents().map(|extent| extent.unwrap_err().to_string()).collect();
    let want = "export \"vda\": the server cannot tell 65536 bytes: not supported, error 95 (it says \
                \"the \\u{1b}medium is gone\"), at byte 0 of the disk";
    assert_eq!(told, [want]);
}

#[test]
fn errors_of_every_form_are_heard() {
    let error_at: Answer = |r| {
        let payload = [&[0, 0, 0, 5, 0, 0][..], &8192_u64.to_be_bytes()].concat();
        many(&[r.data(8192, &[0; 4096]), nbd_chunk(r.cookie, 0x8002, 0, &payload), r.done()])
    };
    let unknown: Answer = |r| nbd_chunk(r.cookie, 0x9999, 1, &[0, 0, 0, 5, 0, 0, 1, 2, 3]);
    let first_of_two: Answer = |r| {
        let first = nbd_chunk(r.cookie, 0x8001, 0, &[0, 0, 0, 5, 0, 0]);
        many(&[first, r.error(12, "")])
    };
    for answer in [error_at, unknown, first_of_two, |r| simple(r, 5)] {
        let want = "export \"vda\": the server cannot tell 4096 bytes: input or output error, error 5, \
                    at byte 8192 of the disk";
        assert_eq!(read(answer), (Kind::Io, want.to_owned()));
    }
}

#[test]
fn a_silent_server_ends_the_wait_of_everybody() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::spawn(move || export().serve(theirs, |_| Some(Vec::new())));
    ours.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let [input, output] = [&ours, &ours].map(|stream| Box::new(stream.try_clone().unwrap()));
    let options = Options { timeout: Duration::from_millis(20), ..Options::default() };
    let client = Arc::new(Client::over(input, output, NAME, &options).unwrap());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || client.read_exact_at(&mut [0; 512], 0).unwrap_err().to_string())
        })
        .collect();
    let want = "export \"vda\": the server was silent for 0.02 s, at byte 0 of the disk";
    for thread in threads {
        assert_eq!(thread.join().unwrap(), want);
    }
}

#[test]
fn a_server_that_leaves_ends_the_wait_of_everybody() {
    let mut seen = 0;
    let client = connect(&export(), &[], move |_, _| {
        seen += 1;
        (seen < 4).then(Vec::new)
    });
    let client = Arc::new(client.unwrap());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let client = Arc::clone(&client);
            thread::spawn(move || client.read_exact_at(&mut [0; 512], 512).unwrap_err().to_string())
        })
        .collect();
    let want = "export \"vda\": the server closed the connection, at byte 512 of the disk";
    for thread in threads {
        assert_eq!(thread.join().unwrap(), want);
    }
}

/// Reads a map and some bytes of whoever gives `input`.
fn read_something(
    input: Box<dyn Read + Send>,
    output: Box<dyn Write + Send>,
) -> nbd::Result<Vec<u8>> {
    let options = Options { contexts: vec![BITMAP.to_owned()], ..Options::default() };
    let client = Client::over(input, output, NAME, &options)?;
    client.map(&[BITMAP], 0..client.size_bytes())?.collect::<nbd::Result<Vec<_>>>()?;
    let mut buf = vec![0; 1000];
    client.read_exact_at(&mut buf, 100)?;
    Ok(buf)
}

#[test]
fn a_connection_that_ends_anywhere_is_an_error() {
    let told = export().recorded(|stream| {
        read_something(Box::new(stream.try_clone().unwrap()), Box::new(stream)).unwrap();
    });
    let read = |len: usize| {
        read_something(Box::new(io::Cursor::new(told[..len].to_vec())), Box::new(io::sink()))
    };
    for len in 0..told.len() {
        let error = read(len).unwrap_err();
        assert!(error.to_string().contains("the server closed the connection"), "{len}: {error}");
    }
    assert!(read(told.len()).unwrap() == content(64 << 10)[100..1100]);
}

#[test]
fn a_client_that_goes_says_so() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let server = thread::spawn(move || export().serve(theirs, |_| None));
    drop(over(&ours, &[]).unwrap());
    server.join().unwrap().expect("not only the end of the connection");
}
