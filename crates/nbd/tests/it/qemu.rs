//! QEMU's server, where it is installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    thread,
};

use disk::{ExtentKind, Image as _, Workbench};
use nbd::{ALLOCATION, Client, Dirty, Kind, NbdImage, Options, State};
use testkit::{MIB, content, oracle, oracle_command, read_extents};

/// The size of the disks: the last cluster is not a whole one.
const DISK: u64 = 16 * MIB + 5 * 512;

/// A folder with images, one of which is served.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Serves a qcow2 image as `vda`, until the last of its clients goes.
    fn serve(&self, image: &Path, words: &str) {
        // It comes back once the socket is there.
        let status = oracle_command("qemu-nbd")
            .args(["--fork", "-r", "-e", "4", "-x", "vda", "-f", "qcow2"])
            .args(words.split_whitespace())
            .arg("-k")
            .args([&self.path("nbd.sock"), image])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("it was there a moment ago").success());
    }

    fn connect(&self, contexts: &[&str]) -> nbd::Result<Client> {
        let contexts = contexts.iter().map(|&name| name.to_owned()).collect();
        let options = Options { contexts, ..Options::default() };
        Client::connect(&self.path("nbd.sock"), "vda", &options)
    }
}

/// Runs a program of QEMU; `None` when it is not installed.
fn run<'w>(program: &str, words: impl IntoIterator<Item = &'w str>) -> Option<()> {
    let output = oracle(program, words)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

/// Data with holes of odd sizes in it.
fn disk() -> Vec<u8> {
    let mut disk = content(DISK);
    disk[1_000_000..3_000_000].fill(0);
    disk[5_111_808..5_177_344].fill(0);
    disk[9 << 20..15 << 20].fill(0);
    disk
}

#[test]
fn the_whole_disk_is_what_qemu_img_makes_of_the_image() {
    let lab = Lab::new();
    let (raw, image, back) = (lab.path("a.raw"), lab.path("a.qcow2"), lab.path("back.raw"));
    fs::write(&raw, disk()).unwrap();
    let [from, to, again] = [&raw, &image, &back].map(|path| path.to_str().unwrap());
    let convert = ["convert", "-f", "raw", "-O", "qcow2", "-c", from, to];
    let Some(()) = run("qemu-img", convert) else { return };
    run("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", to, again]);
    lab.serve(&image, "-A");
    let client = Arc::new(lab.connect(&[ALLOCATION]).unwrap());
    let image = NbdImage::full(Arc::clone(&client));
    let whole = Arc::new(fs::read(back).unwrap());
    assert!(read_extents(&image).unwrap() == *whole);
    let zeros = image.extents().map(Result::unwrap).filter(|e| e.kind == ExtentKind::Zero);
    let zeros: u64 = zeros.map(|extent| extent.len_bytes).sum();
    assert!(zeros > 7 * MIB, "{zeros}");
    assert!(client.has_many());
    let others = [(); 2].map(|()| Arc::new(lab.connect(&[]).unwrap()));
    assert!(read_extents(&image.with_others(others)).unwrap() == *whole);
    let threads: Vec<_> = (0..4_usize)
        .map(|thread| {
            let (client, whole) = (Arc::clone(&client), Arc::clone(&whole));
            thread::spawn(move || {
                for step in 0..50 {
                    let start = (thread * 1_234_577 + step * 333_667) % (8 << 20);
                    let mut buf = vec![0xee; step * 100_003];
                    client.read_exact_at(&mut buf, start as u64).unwrap();
                    assert!(buf == whole[start..start + buf.len()], "{start}");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    // The first client keeps the server, whatever this one is told.
    let error = lab.connect(&["qemu:dirty-bitmap:cp1"]).unwrap_err();
    let want = "export \"vda\": the server has no context \"qemu:dirty-bitmap:cp1\"";
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::NoContext, want));
}

#[test]
fn a_bitmap_tells_what_was_written_behind_it() {
    let lab = Lab::new();
    let image = lab.path("a.qcow2");
    let name = image.to_str().unwrap();
    let create = ["create", "-q", "-f", "qcow2", name, &DISK.to_string()];
    let Some(()) = run("qemu-img", create) else { return };
    let write = |command: &str| run("qemu-io", ["-f", "qcow2", "-c", command, name]);
    let Some(()) = write("write -P 7 0 12M") else { return };
    run("qemu-img", ["bitmap", "--add", name, "cp1"]);
    for command in
        ["write -P 9 100k 4k", "write -P 9 3M 1M", "write -z 5M 256k", "write -P 9 16M 512"]
    {
        write(command);
    }
    lab.serve(&image, "-B cp1");
    let client = Arc::new(lab.connect(&[ALLOCATION, "qemu:dirty-bitmap:cp1"]).unwrap());
    let runs = client.map(&["qemu:dirty-bitmap:cp1"], 0..DISK).unwrap();
    let dirty: Vec<_> = runs
        .map(Result::unwrap)
        .filter(|run| run.state == State::Data)
        .map(|run| (run.start_bytes >> 10, run.len_bytes))
        .collect();
    let want = [(64, 64 << 10), (3 << 10, 1 << 20), (5 << 10, 256 << 10), (16 << 10, 5 * 512)];
    assert_eq!(dirty, want);
    let image = NbdImage::incremental(Arc::clone(&client), "cp1").unwrap();
    let extents: Vec<_> = image
        .extents()
        .map(Result::unwrap)
        .filter(|extent| extent.kind != ExtentKind::Hole)
        .map(|extent| (extent.start_bytes >> 10, extent.len_bytes, extent.kind))
        .collect();
    let data = |start: u64| ExtentKind::Data { offset_bytes: start << 10 };
    let want = [
        (64, 64 << 10, data(64)),
        (3 << 10, 1 << 20, data(3 << 10)),
        (5 << 10, 256 << 10, ExtentKind::Zero),
        (16 << 10, 5 * 512, data(16 << 10)),
    ];
    assert_eq!(extents, want);
    let marked_bytes = (64 + 1024 + 256) * 1024 + 5 * 512;
    let widened_bytes = marked_bytes;
    let data_bytes = (64 + 1024) * 1024 + 5 * 512;
    assert_eq!(image.dirty().unwrap(), Dirty { marked_bytes, widened_bytes, data_bytes });
    // The disk of then, with what changed, is the disk of now.
    let mut disk = vec![0; usize::try_from(DISK).unwrap()];
    disk[..12 << 20].fill(7);
    for extent in image.extents().map(Result::unwrap).filter(|e| e.kind != ExtentKind::Hole) {
        let [start, end] = [extent.start_bytes, extent.end_bytes()].map(|at| at as usize);
        image.read_extent(&extent, &mut Workbench::new(), &mut disk[start..end]).unwrap();
    }
    assert!(disk == read_extents(&NbdImage::full(client)).unwrap());
    assert_eq!((disk[100 << 10], disk[104 << 10], disk[5 << 20], disk[16 << 20]), (9, 7, 0, 9));
}

#[test]
fn a_disk_of_many_windows_has_one_map() {
    let lab = Lab::new();
    let image = lab.path("a.qcow2");
    let name = image.to_str().unwrap();
    let create = ["create", "-q", "-f", "qcow2", name, "5G"];
    let Some(()) = run("qemu-img", create) else { return };
    let write = ["-f", "qcow2", "-c", "write -P 1 2047M 2M", "-c", "write -P 2 4608M 1M", name];
    let Some(()) = run("qemu-io", write) else { return };
    lab.serve(&image, "");
    let client = lab.connect(&[ALLOCATION]).unwrap();
    let runs: Vec<_> = client
        .map(&[ALLOCATION], 0..5 << 30)
        .unwrap()
        .map(|run| run.map(|run| (run.start_bytes / MIB, run.len_bytes / MIB, run.state)).unwrap())
        .collect();
    use State::{Data, Zero};
    let want =
        [(0, 2047, Zero), (2047, 2, Data), (2049, 2559, Zero), (4608, 1, Data), (4609, 511, Zero)];
    assert_eq!(runs, want);
}
