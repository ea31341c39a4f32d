//! Signed packages: four states, and what each of them means for a run.

use ovf::manifest::Algorithm;
use testkit::{MIB, Package, Signer, Wish};

use crate::bench::{Bench, Run};

/// A small package whose manifest somebody signed.
fn signed(signer: &Signer) -> Package {
    Package::small("vm", MIB).signed_by(signer, "SHA256", &[])
}

fn bench(package: &Package, signer: &Signer) -> Bench {
    let bench = Bench::empty();
    bench.write("vm.ova", &package.ova());
    bench.write("signer.pem", signer.pem().as_bytes());
    bench
}

/// The first error code on stderr, with the exit code.
fn refused(run: &Run) -> (Option<i32>, &str) {
    let line = run.stderr.lines().find(|line| line.starts_with("error")).unwrap_or_default();
    (run.code, line.get(6..11).unwrap_or_default())
}

#[test]
fn a_trusted_signer_is_named_in_every_document() {
    let signer = Signer::rsa("Example Vendor");
    let bench = bench(&signed(&signer), &signer);
    let trust = ["--trust", "signer.pem", "--json"];
    for words in [vec!["inspect", "vm.ova"], vec!["plan", "vm.ova"], vec!["verify", "vm.ova"]] {
        let run = bench.run(words.iter().chain(&trust));
        assert_eq!(run.code, Some(0), "{run:?}");
        let json = run.json();
        assert_eq!(json["data"]["signature"], "trusted", "{run:?}");
        if words[0] != "inspect" {
            assert_eq!(json["data"]["signer"]["subject"], "CN=Example Vendor");
        }
        assert!(!run.stdout.contains("W0609"), "{run:?}");
    }
    let run = bench.run(["inspect", "vm.ova", "--trust", "signer.pem"]);
    assert!(run.stdout.contains(" · signed by CN=Example Vendor\n"), "{run:?}");
    let convert = ["convert", "vm.ova", "-o", "out", "--signature", "require"];
    let run = bench.run(convert.iter().chain(&["--trust", "signer.pem"]));
    assert_eq!(run.code, Some(0), "{run:?}");
    let result: serde_json::Value =
        serde_json::from_slice(&bench.read("out/relift.result.json")).unwrap();
    assert_eq!(result["signature"], "trusted");
    assert_eq!(result["signer"]["subject"], "CN=Example Vendor");
    let fingerprint = result["signer"]["fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint.len(), "sha256:".len() + 64, "{fingerprint}");
}

#[test]
fn a_signer_whom_nobody_knows_is_a_warning_unless_trust_is_required() {
    let signer = Signer::rsa("Somebody");
    let bench = bench(&signed(&signer), &signer);
    let run = bench.run(["inspect", "--json", "vm.ova"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let json = run.json();
    assert_eq!(json["data"]["signature"], "untrusted");
    assert_eq!(json["warnings"][0]["code"], "W0609");
    assert_eq!(
        json["warnings"][0]["message"],
        "the signature is untrusted: the certificate is self-signed"
    );
    let run = bench.run(["convert", "vm.ova", "-o", "out"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for words in [["convert", "vm.ova", "-o", "no"], ["plan", "vm.ova", "--to", "dir:no"]] {
        let run = bench.run(words.iter().chain(&["--signature", "require"]));
        assert_eq!(refused(&run), (Some(5), "E0204"), "{run:?}");
        assert!(run.stderr.contains("--trust FILE.pem"), "{run:?}");
    }
    let run = bench.run(["verify", "vm.ova", "--signature", "require"]);
    assert_eq!(refused(&run), (Some(5), "E0204"), "{run:?}");
    assert!(!bench.path("no").exists());
}

#[test]
fn a_signature_that_does_not_fit_is_refused_and_shown() {
    let signer = Signer::rsa("Example");
    let good = signed(&signer);
    let mut spoiled = good.bytes("vm.cert").to_vec();
    spoiled[20] = if spoiled[20] == b'0' { b'1' } else { b'0' };
    let bench = Bench::empty();
    bench.write("vm.ova", &good.ova_with_another("vm.cert", &spoiled));
    bench.write("half.ova", &good.ova_without("vm.mf"));
    bench.write("signer.pem", signer.pem().as_bytes());
    for name in ["vm.ova", "half.ova"] {
        for verb in ["inspect", "plan", "verify"] {
            let run = bench.run([verb, name, "--trust", "signer.pem"]);
            assert_eq!(refused(&run), (Some(5), "E0204"), "{run:?}");
        }
        let run = bench.run(["convert", name, "-o", "out"]);
        assert_eq!(refused(&run), (Some(5), "E0204"), "{run:?}");
        let run = bench.shell(&format!("cat {name} | relift convert - -o out"));
        assert_eq!(refused(&run), (Some(5), "E0204"), "{run:?}");
        assert!(!bench.path("out").exists());
        let run = bench.run(["inspect", "--json", name]);
        assert_eq!(run.json()["data"]["signature"], "invalid", "{run:?}");
        let run = bench.run(["inspect", "--json", name, "--signature", "skip"]);
        assert_eq!(run.json()["data"]["signature"], "untrusted", "{run:?}");
        assert_eq!(run.code, Some(0), "{run:?}");
    }
}

#[test]
fn require_refuses_what_nobody_signed() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    for line in [
        "relift convert vm.ova -o out --signature require",
        "cat vm.ova | relift convert - -o out --signature require",
    ] {
        let run = bench.shell(line);
        assert_eq!(refused(&run), (Some(5), "E0204"), "{run:?}");
        assert!(run.stderr.contains("the package is not signed"), "{run:?}");
        assert!(!bench.path("out").exists());
    }
}

#[test]
fn a_signature_behind_the_disks_is_judged_when_it_has_passed() {
    let signer = Signer::rsa("Example");
    let package = Package::small("vm", MIB).manifest_last().signed_by(&signer, "SHA512", &[]);
    let bench = bench(&package, &signer);
    let convert = "cat vm.ova | relift convert - --signature require";
    let run = bench.shell(&format!("{convert} -o out --trust signer.pem --json"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.json()["data"]["signature"], "trusted");
    let run = bench.shell(&format!("{convert} -o no"));
    assert_eq!(refused(&run), (Some(5), "E0204"), "{run:?}");
    assert!(!bench.path("no").exists());
}

#[test]
fn digests_that_do_not_bind_make_no_trust() {
    let signer = Signer::rsa("Example");
    let bench = bench(&signed(&signer), &signer);
    for policy in ["warn", "skip"] {
        let words = ["plan", "vm.ova", "--json", "--trust", "signer.pem", "--manifest", policy];
        let run = bench.run(words);
        assert_eq!(run.json()["data"]["signature"], "untrusted", "{run:?}");
    }
}

#[test]
fn weak_and_expired_signatures_are_untrusted() {
    let short = Signer::short_rsa("Short");
    let rsa = Signer::rsa("Example");
    let old = Signer::ecdsa("Old", &[Wish::Expired]);
    for (signer, label, want) in [
        (&short, "SHA256", "the key has 1024 bits, at least 2048 are needed"),
        (&rsa, "SHA1", "it is made with SHA-1"),
        (&old, "SHA256", "the certificate expired on 2020-06-01T00:00:00Z"),
    ] {
        let package = Package::small("vm", MIB).signed_by(signer, label, &[]);
        let bench = bench(&package, signer);
        let run = bench.run(["inspect", "--json", "vm.ova", "--trust", "signer.pem"]);
        let json = run.json();
        assert_eq!(json["data"]["signature"], "untrusted", "{run:?}");
        assert_eq!(json["warnings"][0]["message"], format!("the signature is untrusted: {want}"));
    }
    let package = Package::small("vm", MIB).manifest(Algorithm::Sha1);
    let bench = bench(&package.signed_by(&rsa, "SHA256", &[]), &rsa);
    let run = bench.run(["inspect", "--json", "vm.ova", "--trust", "signer.pem"]);
    assert_eq!(run.json()["data"]["signature"], "untrusted", "{run:?}");
}

#[test]
fn a_chain_in_a_folder_ends_at_the_trust_store() {
    let root = Signer::ecdsa("Root", &[Wish::Authority]);
    let middle = root.issue("Middle", &[Wish::Authority]);
    let signer = middle.issue("Vendor", &[]);
    let bench = Bench::empty();
    std::fs::create_dir(bench.path("vm")).unwrap();
    let package = Package::small("vm", MIB).signed_by(&signer, "SHA256", &[&middle]);
    package.write_to(&bench.path("vm"));
    bench.write("root.pem", root.pem().as_bytes());
    let run = bench.run(["verify", "vm", "--trust", "root.pem", "--signature", "require"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.ends_with(", trusted\n"), "{run:?}");
}

#[test]
fn a_trust_store_that_is_none_is_a_wrong_flag() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    for file in ["absent.pem", "vm.ova"] {
        let run = bench.run(["inspect", "vm.ova", "--trust", file]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(&format!("--trust {file}: ")), "{run:?}");
    }
}

/// The signature is made by another program: what it writes must be read here.
#[test]
fn what_openssl_signs_is_trusted() {
    let script = "set -e
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj '/O=Org/CN=Root' -days 10
openssl req -newkey rsa:2048 -nodes -keyout s.key -out s.csr -subj '/CN=Signer, \"odd\"'
openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out s.pem -days 10
tar -xf vm.ova
printf 'SHA256(vm.mf)= ' > vm.cert
openssl dgst -sha256 -sign s.key vm.mf | od -An -v -tx1 | tr -d ' \\n' >> vm.cert
{ echo; cat s.pem; } >> vm.cert";
    let bench = Bench::empty();
    bench.package("vm.ova");
    if testkit::oracle("openssl", ["version"]).is_none() {
        return;
    }
    let made = bench.shell(script);
    assert_eq!(made.code, Some(0), "{made:?}");
    let run = bench.run(["verify", "vm.ovf", "--trust", "ca.pem", "--json"]);
    assert_eq!(run.json()["data"]["signature"], "trusted", "{run:?}");
}
