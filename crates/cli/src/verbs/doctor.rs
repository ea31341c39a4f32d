//! `doctor`: what works on this host, and what to install for the rest; what interrupted runs left on it.

mod left;

use code::Code;
use host::{
    libvirt::{Libvirt, LibvirtError, Offered, Pool, Versions},
    sandbox::{self, Kept, Unkept},
    tool,
};
use serde::Serialize;
use vm::{ByteSize, Firmware};

use crate::{
    args::DoctorArgs,
    failure::{Failure, Result},
    report::Report,
    sandbox::{Missing, Wish},
    session::Session,
    show::table::Table,
};
use left::Left;

/// What the sandbox is not for.
const NOT_CONFINED: &str = "not for what is brought to a libvirt host, which needs virsh";

/// What a kernel needs to confine a run.
const KERNEL: &str = "Linux 6.12 or later, started with landlock among its security modules (lsm=)";

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    /// What to do about it.
    fix: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It works.
    Ok,
    /// Something can be done without it.
    Warn,
    /// Machines cannot be brought here without it.
    Fail,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// `relift.doctor/1`.
#[derive(Debug, Serialize)]
struct Data {
    uri: String,
    checks: Vec<Check>,
    /// What interrupted runs left, and what became of it.
    left: Vec<Left>,
}

/// What was found on a host that answers.
#[derive(Debug)]
struct Found {
    versions: Versions,
    offered: std::result::Result<Offered, LibvirtError>,
    pools: std::result::Result<Vec<Pool>, LibvirtError>,
}

/// Looks at everything, whatever fails on the way.
pub(super) fn run(args: &DoctorArgs, session: &Session) -> Result<Report> {
    let uri = session.hypervisor.uri.clone();
    let mut checks = vec![virsh(tool::version("virsh"))];
    let host = Libvirt::connect(&uri);
    match &host {
        Ok(host) => checks.extend(of_host(&Found {
            versions: host.versions().unwrap_or_default(),
            pools: host.pools(),
            offered: host.offered(),
        })),
        Err(error) => checks.push(unreachable(error)),
    }
    checks.push(qemu_img(tool::version("qemu-img")));
    checks.push(match Wish::of_environment()? {
        Wish::On => confinement(&sandbox::offered()),
        Wish::Off => warn("sandbox", Missing::Unwanted.to_string(), "unset it"),
    });
    let mut left = match &host {
        Ok(host) => left::of_machines(args, host)?,
        Err(_) => Vec::new(),
    };
    left.extend(left::of_folders(args));
    checks.extend(left::check(args, &left));
    let failure = failure(&checks, &left);
    let text = text(&uri, &checks) + &left::text(&left);
    Ok(Report::new(text, &Data { uri, checks, left }).failed(failure))
}

/// Something is missing, or could not be put right.
fn failure(checks: &[Check], left: &[Left]) -> Option<Box<Failure>> {
    let failed = checks.iter().filter(|check| check.state == State::Fail).count();
    if failed > 0 {
        let text = format!("{failed} of {} things are missing", checks.len());
        return Some(Failure::new(Code::E0701, text).cause("see the lines marked FAIL"));
    }
    left::failure(left)
}

fn text(uri: &str, checks: &[Check]) -> String {
    let mut table = Table::new(&[]);
    for check in checks {
        let fix = check.fix.as_deref().map(|fix| format!("→ {fix}")).unwrap_or_default();
        table.row([check.state.as_str(), check.name, &check.found, &fix]);
    }
    format!("{uri}\n\n{}\n", table.lines(2, None).join("\n"))
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, state: State::Ok, found: found.into(), fix: None }
}

fn warn(name: &'static str, found: impl Into<String>, fix: &str) -> Check {
    Check { name, state: State::Warn, found: found.into(), fix: Some(fix.to_owned()) }
}

fn fail(name: &'static str, found: impl Into<String>, fix: &str) -> Check {
    Check { state: State::Fail, ..warn(name, found, fix) }
}

fn virsh(version: Option<String>) -> Check {
    match version {
        Some(version) => ok("virsh", version),
        None => fail("virsh", "not installed", "install libvirt-clients"),
    }
}

fn qemu_img(version: Option<String>) -> Check {
    match version {
        Some(version) => ok("qemu-img", version),
        None => warn("qemu-img", "not installed; relift itself needs none", "install qemu-utils"),
    }
}

/// How far a run is confined that runs no virsh.
fn confinement(offered: &std::result::Result<Kept, Unkept>) -> Check {
    match offered {
        Ok(kept) if kept.is_whole() => ok("sandbox", format!("{kept} ({NOT_CONFINED})")),
        Ok(kept) => warn("sandbox", format!("{kept} ({NOT_CONFINED})"), "Linux 6.12 keeps more"),
        Err(why) => warn("sandbox", why.to_string(), KERNEL),
    }
}

fn unreachable(error: &LibvirtError) -> Check {
    let fix = match error.code() {
        Code::E0502 => "run as root, or join the group libvirt",
        Code::E0701 => "install libvirt-clients",
        _ => "install libvirt-daemon-system and start libvirtd or virtqemud, or use --connect",
    };
    fail("libvirt", with_cause(error), fix)
}

/// The error and its reason in one line.
fn with_cause(error: &LibvirtError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn of_host(found: &Found) -> Vec<Check> {
    let unknown = || "version unknown".to_owned();
    let versions = &found.versions;
    let version = versions.daemon.clone().or_else(|| versions.library.clone());
    let mut checks = vec![ok("libvirt", version.unwrap_or_else(unknown))];
    match &found.offered {
        Ok(offered) => {
            checks.push(ok("QEMU", versions.hypervisor.clone().unwrap_or_else(unknown)));
            checks.extend(of_offer(offered));
        }
        Err(error) => {
            let fix = match error.code() {
                Code::E0501 => "the daemon hangs; restart libvirtd or virtqemud",
                _ => "install qemu-system-x86 (qemu-kvm)",
            };
            checks.push(fail("QEMU", with_cause(error), fix));
        }
    }
    match found.pools.as_deref() {
        Ok([]) => checks.push(warn("pool", "none", "give a folder with --storage DIR")),
        Ok(pools) => checks.extend(pools.iter().map(pool)),
        Err(error) => checks.push(warn("pool", error.to_string(), "give a folder with --storage")),
    }
    checks
}

fn of_offer(offered: &Offered) -> [Check; 3] {
    let offer = &offered.offer;
    let kvm = if offer.kvm {
        ok("KVM", "offered by libvirt")
    } else {
        let fix = "turn on virtualization in the firmware, or nesting on the outer host";
        warn("KVM", "not offered; machines are emulated, which is slow", fix)
    };
    let has = |firmware| offer.firmwares.contains(&firmware);
    let firmware = match (has(Firmware::Uefi), has(Firmware::UefiSecure)) {
        (true, true) => ok("firmware", "BIOS, UEFI, UEFI with Secure Boot"),
        (true, false) => {
            warn("firmware", "BIOS, UEFI without Secure Boot", "install ovmf (edk2-ovmf)")
        }
        (false, _) => warn("firmware", "BIOS only", "install ovmf (edk2-ovmf)"),
    };
    let tpm = if offer.tpm {
        ok("swtpm", "a TPM 2.0 can be emulated")
    } else {
        warn("swtpm", "no TPM can be emulated", "install swtpm and swtpm-tools")
    };
    [kvm, firmware, tpm]
}

fn pool(pool: &Pool) -> Check {
    let name = format!("{} ({})", pool.name, pool.kind);
    if !pool.is_active {
        return warn("pool", format!("{name}, not active"), "virsh pool-start POOL");
    }
    if pool.writable == Some(false) {
        return warn("pool", format!("{name}, read-only"), "choose another with --pool");
    }
    let (free, all) = (ByteSize(pool.free_bytes), ByteSize(pool.capacity_bytes));
    ok("pool", format!("{name}, {free} free of {all}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool_of(is_active: bool, writable: Option<bool>) -> Pool {
        Pool {
            name: "default".into(),
            kind: "dir".into(),
            path: None,
            is_active,
            capacity_bytes: 2 << 30,
            free_bytes: 1 << 30,
            writable,
        }
    }

    #[test]
    fn a_pool_is_told_with_its_room_or_what_is_wrong_with_it() {
        for (given, want) in [
            (pool_of(true, None), "default (dir), 1 GiB free of 2 GiB"),
            (pool_of(false, None), "default (dir), not active"),
            (pool_of(true, Some(false)), "default (dir), read-only"),
        ] {
            assert_eq!(pool(&given).found, want);
        }
    }

    #[test]
    fn only_what_keeps_machines_away_is_a_failure() {
        assert_eq!(virsh(None).state, State::Fail);
        assert_eq!(qemu_img(None).state, State::Warn);
        let offer = vm::Offer { kvm: false, tpm: false, firmwares: vec![], ..Default::default() };
        let offered = Offered { offer, emulator: None, devices: host::libvirt::Known::Assumed };
        assert!(of_offer(&offered).iter().all(|check| check.state == State::Warn));
    }

    #[test]
    fn a_kernel_without_a_sandbox_is_no_failure() {
        let check = confinement(&Err(Unkept::NotBuilt));
        assert_eq!(check.state, State::Warn);
        assert_eq!(check.found, "this kernel has no Landlock");
        assert!(check.fix.unwrap().starts_with("Linux 6.12 or later"));
    }

    #[test]
    fn the_text_says_what_to_do_behind_an_arrow() {
        let lines = text("qemu:///system", &[virsh(None), ok("libvirt", "9.0.0")]);
        assert_eq!(
            lines,
            "qemu:///system\n\n  FAIL   virsh     not installed   → install libvirt-clients\n  \
             ok     libvirt   9.0.0\n"
        );
    }
}
