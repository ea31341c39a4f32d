//! Packages at an address: streamed, gone on with after a drop, or looked at in pieces.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use testkit::{MIB, Package};

use crate::bench::{Bench, Run};

/// How a server behaves.
#[derive(Debug, Clone, Default)]
struct Manner {
    /// It answers a range with the whole.
    no_ranges: bool,
    /// It says nothing that proves two answers to be of the same.
    no_tag: bool,
    /// It ends the answer after so many bytes, this many times.
    drops: Vec<usize>,
    /// It has another file after the first answer.
    changes: bool,
    /// It answers with this and nothing else.
    refuses: Option<String>,
}

/// A server of one file on this machine.
struct Server {
    address: String,
    /// The requests: the line, `Range` and `If-Range`.
    asked: Arc<Mutex<Vec<String>>>,
    /// How many bytes of the file it gave.
    gave: Arc<Mutex<usize>>,
}

impl Server {
    fn new(file: Vec<u8>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/vm.ova", listener.local_addr().unwrap());
        let (asked, gave) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<usize>>::default());
        let (log, given) = (Arc::clone(&asked), Arc::clone(&gave));
        // It ends with the test.
        thread::spawn(move || {
            let mut manner = manner;
            for stream in listener.incoming().map_while(Result::ok) {
                let Some(request) = Request::read(&stream) else { continue };
                let is_first = log.lock().unwrap().is_empty();
                log.lock().unwrap().push(request.shown());
                let count = answer(&stream, &request, &file, is_first, &mut manner);
                *given.lock().unwrap() += count;
                // A client that has gone already is no fault of the server.
                stream.shutdown(Shutdown::Both).ok();
            }
        });
        Self { address, asked, gave }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

#[derive(Debug, Default)]
struct Request {
    line: String,
    range: Option<String>,
    if_range: Option<String>,
}

impl Request {
    fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let mut request = Self { line: lines.next()?, ..Self::default() };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ")?;
            match name.to_ascii_lowercase().as_str() {
                "range" => request.range = Some(value.to_owned()),
                "if-range" => request.if_range = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(request)
    }

    fn shown(&self) -> String {
        let (range, tag) = (self.range.as_deref(), self.if_range.as_deref());
        [Some(self.line.as_str()), range, tag].into_iter().flatten().collect::<Vec<_>>().join(" | ")
    }

    /// The part that is asked for.
    fn part(&self, len: usize) -> Option<std::ops::Range<usize>> {
        let (first, last) = self.range.as_ref()?.strip_prefix("bytes=")?.split_once('-')?;
        let last: usize = last.parse().ok()?;
        Some(first.parse().ok()?..len.min(last + 1))
    }
}

/// Answers, and says how many bytes of the file were in it.
fn answer(
    mut stream: &TcpStream,
    request: &Request,
    file: &[u8],
    is_first: bool,
    manner: &mut Manner,
) -> usize {
    if let Some(refusal) = &manner.refuses {
        stream.write_all(refusal.as_bytes()).ok();
        return 0;
    }
    let tag = if manner.changes && !is_first { "\"two\"" } else { "\"one\"" };
    let fits = request.if_range.as_deref().is_none_or(|wanted| wanted == tag);
    let part = request.part(file.len()).filter(|_| fits && !manner.no_ranges);
    let body = &file[part.clone().unwrap_or(0..file.len())];
    let head = match &part {
        Some(part) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{}\r\n",
            part.start,
            part.end - 1,
            file.len()
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let tag = if manner.no_tag { String::new() } else { format!("ETag: {tag}\r\n") };
    let len = body.len();
    let head = format!("{head}{tag}Content-Length: {len}\r\nConnection: close\r\n\r\n");
    let end = if manner.drops.is_empty() { body.len() } else { manner.drops.remove(0) };
    let body = &body[..end.min(body.len())];
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    if sent.is_ok() { body.len() } else { 0 }
}

/// The files that a conversion wrote, but for the result, which names its source.
fn written(bench: &Bench, source: &str) -> Vec<(String, Vec<u8>)> {
    let run = bench.run(["convert", source, "-o", "out"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let files = bench.files("out").into_iter().filter(|name| !name.ends_with(".json"));
    let files: Vec<_> = files.map(|name| (name.clone(), bench.read(&name))).collect();
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    files
}

fn refused(bench: &Bench, words: &[&str], code: &str, exit: i32) -> Run {
    let run = bench.run(words);
    assert_eq!(run.code, Some(exit), "{run:?}");
    assert!(run.stderr.starts_with(&format!("error[{code}]: ")), "{run:?}");
    assert!(!bench.path("out").exists());
    run
}

/// A package of some megabytes, as a file beside the server.
fn large(bench: &Bench) -> Vec<u8> {
    let ova = Package::small("vm", 16 * MIB).ova();
    assert!(ova.len() > 3 << 20);
    bench.write("vm.ova", &ova);
    ova
}

#[test]
fn a_package_at_an_address_is_converted_with_one_request() {
    let bench = Bench::empty();
    let server = Server::new(large(&bench), Manner::default());
    assert!(written(&bench, &server.address) == written(&bench, "vm.ova"));
    assert_eq!(server.asked(), ["GET /vm.ova HTTP/1.1"]);
}

#[test]
fn a_dropped_connection_is_gone_on_with_where_it_ended() {
    let bench = Bench::empty();
    let ova = large(&bench);
    let want = written(&bench, "vm.ova");
    let drops = vec![1_000_000, 1_234_567];
    let server = Server::new(ova.clone(), Manner { drops, ..Manner::default() });
    assert!(written(&bench, &server.address) == want);
    let last = ova.len() - 1;
    assert_eq!(
        server.asked(),
        [
            "GET /vm.ova HTTP/1.1".to_owned(),
            format!("GET /vm.ova HTTP/1.1 | bytes=1000000-{last} | \"one\""),
            format!("GET /vm.ova HTTP/1.1 | bytes=2234567-{last} | \"one\""),
        ]
    );
}

#[test]
fn a_drop_that_cannot_be_mended_leaves_nothing_behind() {
    let bench = Bench::empty();
    let ova = large(&bench);
    let drops = vec![1_000_000];
    let untagged = Manner { no_tag: true, drops: drops.clone(), ..Manner::default() };
    let rangeless = Manner { no_ranges: true, drops: drops.clone(), ..Manner::default() };
    for manner in [untagged, rangeless] {
        let server = Server::new(ova.clone(), manner);
        let run = refused(&bench, &["convert", &server.address, "-o", "out"], "E0501", 7);
        assert!(run.stderr.contains("was lost at byte 1000000"), "{run:?}");
    }
    let server = Server::new(ova, Manner { changes: true, drops, ..Manner::default() });
    let run = refused(&bench, &["convert", &server.address, "-o", "out"], "E0102", 4);
    assert!(run.stderr.contains("changed while it was read"), "{run:?}");
}

#[test]
fn inspect_asks_for_headers_only() {
    let bench = Bench::empty();
    let ova = large(&bench);
    let server = Server::new(ova.clone(), Manner::default());
    let remote = bench.run(["inspect", "--json", &server.address]);
    assert_eq!(remote.code, Some(0), "{remote:?}");
    assert_eq!(remote.json(), bench.run(["inspect", "--json", "vm.ova"]).json());
    let gave = *server.gave.lock().unwrap();
    assert!(gave < ova.len() / 4, "{gave} of {}", ova.len());
    assert!(server.asked().iter().all(|asked| asked.contains(" | bytes=")), "{:?}", server.asked());
    let planned = bench.run(["plan", "--json", &server.address]);
    assert_eq!(planned.code, Some(0), "{planned:?}");
    assert!(planned.json()["data"]["source"]["digest"].is_string(), "{planned:?}");
    // Without ranges the same is read as it passes.
    let server = Server::new(ova, Manner { no_ranges: true, ..Manner::default() });
    let run = bench.run(["inspect", "--json", &server.address]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn a_package_that_changes_between_two_pieces_is_refused() {
    let bench = Bench::empty();
    let server = Server::new(large(&bench), Manner { changes: true, ..Manner::default() });
    refused(&bench, &["inspect", &server.address], "E0102", 4);
}

#[test]
fn a_server_that_says_no_is_told_as_what_it_says() {
    let bench = Bench::empty();
    let status = |text: &str| {
        Some(format!("HTTP/1.1 {text}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
    };
    for (answer, code, exit) in [
        (status("404 Not Found"), "E0508", 8),
        (status("403 Forbidden"), "E0502", 7),
        (status("500 Oops"), "E0501", 7),
        (Some("no HTTP at all\r\n\r\n".to_owned()), "E0501", 7),
    ] {
        let server = Server::new(Vec::new(), Manner { refuses: answer, ..Manner::default() });
        for verb in ["inspect", "verify", "plan"] {
            refused(&bench, &[verb, &server.address], code, exit);
        }
        refused(&bench, &["convert", &server.address, "-o", "out"], code, exit);
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    refused(&bench, &["inspect", &format!("http://{closed}/vm.ova")], "E0501", 7);
}

#[test]
fn a_server_may_send_to_another_address_and_not_to_a_file() {
    let bench = Bench::empty();
    let there = Server::new(large(&bench), Manner::default());
    let send = |to: &str| {
        let text = format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        Server::new(Vec::new(), Manner { refuses: Some(text), ..Manner::default() })
    };
    assert!(written(&bench, &send(&there.address).address) == written(&bench, "vm.ova"));
    for to in ["file:///etc/passwd", "ftp://127.0.0.1/vm.ova", "/vm.ova"] {
        // The last one sends to itself for ever.
        let server = send(to);
        refused(&bench, &["convert", &server.address, "-o", "out"], "E0501", 7);
        assert!(server.asked().len() < 10, "{to}");
    }
}

#[test]
fn an_address_is_judged_before_it_is_asked() {
    let bench = Bench::empty();
    for bad in ["http://user:secret@127.0.0.1/vm.ova", "http:///vm.ova"] {
        let run = bench.run(["inspect", bad]);
        assert_eq!(run.code, Some(2), "{run:?}");
    }
    let run = bench.run(["inspect", "ftp://127.0.0.1/vm.ova"]);
    assert!(run.stderr.starts_with("error[E0508]: cannot open ftp://127.0.0.1/vm.ova"), "{run:?}");
}

#[test]
fn what_is_not_a_package_is_told_as_in_a_file() {
    let bench = Bench::empty();
    let page = b"<!DOCTYPE html><html>log in</html>".to_vec();
    let server = Server::new(page, Manner::default());
    refused(&bench, &["inspect", &server.address], "E0101", 4);
    refused(&bench, &["convert", &server.address, "-o", "out"], "E0101", 4);
}
