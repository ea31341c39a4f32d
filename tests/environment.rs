//! What a guest is told: properties on a CD and in the firmware's configuration, licences, products.

use std::os::unix::fs::PermissionsExt as _;

use ovf::manifest::{Algorithm, Hasher};
use serde_json::{Value, json};
use testkit::{Descriptor, MIB, Package, oracle};

use crate::bench::{Bench, Run};

/// A secret that must never be seen but by the guest.
const SECRET: &str = "hunter2-zwölf";

const PROPERTIES: &str = r#"<ProductSection ovf:class="org"><Info>x</Info>
  <Product>Demo</Product><Vendor>Example</Vendor><Version>1.2</Version>
  <ProductUrl>https://example.org/demo</ProductUrl><AppUrl>https://${hostname}/</AppUrl>
  <Property ovf:key="hostname" ovf:type="string" ovf:userConfigurable="true" ovf:qualifiers="MinLen(3)"/>
  <Property ovf:key="url" ovf:type="string" ovf:value="https://${hostname}/"/>
  <Property ovf:key="ssh" ovf:type="boolean" ovf:value="true"/>
  <Property ovf:key="mode" ovf:type="string" ovf:value="a, b" ovf:qualifiers='ValueMap{"a, b","c"}'/>
  <Property ovf:key="pw" ovf:type="string" ovf:password="true" ovf:userConfigurable="true"/>
  </ProductSection>"#;

/// The descriptor of a machine with properties and this transport.
fn descriptor(transport: &str) -> String {
    let xml = Descriptor::new("vm", "debian10_64Guest")
        .controller("3", "20", "vmware.sata.ahci", "0")
        .empty_disk(MIB, "3", "0")
        .nic("VmxNet3", "VM Network")
        .section(PROPERTIES)
        .xml();
    let section = format!("<VirtualHardwareSection ovf:transport=\"{transport}\">");
    xml.replace("<VirtualHardwareSection>", &section)
}

/// A bench with an OVA of it, and the secret in a file.
fn bench(transport: &str) -> Bench {
    let bench = Bench::empty();
    bench.write("vm.ova", &Package::of_text("vm", &descriptor(transport)).ova());
    bench.write("pw", SECRET.as_bytes());
    bench
}

/// The flags that give every property a value.
const GIVEN: [&str; 4] = ["--prop", "hostname=web01", "--prop", "org.pw=@pw"];

fn convert(bench: &Bench, more: &[&str]) -> Run {
    let words = ["convert", "vm.ova", "-o", "out"].into_iter();
    let run = bench.run(words.chain(GIVEN).chain(more.iter().copied()));
    assert_eq!(run.code, Some(0), "{run:?}");
    run
}

/// The one file of a CD image: where the 26th sector begins, up to its final newline.
fn document(iso: &[u8]) -> String {
    let text = String::from_utf8_lossy(&iso[25 * 2048..]).into_owned();
    text.trim_end_matches('\0').to_owned()
}

fn row(run: &Run, item: &str) -> Value {
    let data = run.json()["data"].clone();
    let rows = data["machines"][0]["rows"].as_array().unwrap().clone();
    rows.into_iter().find(|row| row["item"] == item).unwrap_or_else(|| panic!("{item}: {data}"))
}

#[test]
fn the_guest_finds_its_values_on_a_cd_of_its_own() {
    let bench = bench("iso");
    convert(&bench, &[]);
    let files = ["domain.xml", "relift.result.json", "vm-disk0.qcow2", "vm-ovf-env.iso"];
    assert_eq!(bench.files("out"), files.map(|name| format!("out/{name}")));
    let iso = bench.read("out/vm-ovf-env.iso");
    let document = document(&iso);
    for (key, value) in [
        ("org.hostname", "web01"),
        ("org.url", "https://web01/"),
        ("org.ssh", "True"),
        ("org.mode", "a, b"),
        ("org.pw", SECRET),
    ] {
        let line = format!("<Property oe:key=\"{key}\" oe:value=\"{value}\"/>");
        assert!(document.contains(&line), "{line}: {document}");
    }
    let domain = String::from_utf8(bench.read("out/domain.xml")).unwrap();
    let (_, mac) = domain.split_once("<mac address=\"").unwrap();
    let (mac, _) = mac.split_once('"').unwrap();
    let card = format!("ve:mac=\"{mac}\" ve:network=\"VM Network\" ve:unitNumber=\"7\"");
    assert!(document.contains(&card), "{card}: {document}");
    assert!(domain.contains("out/vm-ovf-env.iso\"/>"), "{domain}");
    assert!(!domain.contains("sysinfo"), "{domain}");
    let result: Value = serde_json::from_slice(&bench.read("out/relift.result.json")).unwrap();
    let paths: Vec<&Value> =
        result["outputs"].as_array().unwrap().iter().map(|output| &output["path"]).collect();
    assert_eq!(paths, ["vm-disk0.qcow2", "vm-ovf-env.iso"]);
    let path = bench.path("out/vm-ovf-env.iso");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let path = path.to_str().unwrap();
    if let Some(read) = oracle("isoinfo", ["-J", "-x", "/ovf-env.xml", "-i", path]) {
        assert_eq!(String::from_utf8_lossy(&read.stdout), document);
    }
}

#[test]
fn a_pipe_and_a_second_run_give_the_same_cd() {
    let bench = bench("iso");
    convert(&bench, &[]);
    let first = bench.read("out/vm-ovf-env.iso");
    convert(&bench, &["--force"]);
    assert_eq!(bench.read("out/vm-ovf-env.iso"), first);
    let words = GIVEN.join(" ");
    let run = bench.shell(&format!("cat vm.ova | relift convert - -o piped {words} --name vm"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(bench.read("piped/vm-ovf-env.iso"), first);
}

#[test]
fn a_secret_is_seen_by_the_guest_only() {
    let bench = bench("iso com.vmware.guestInfo");
    for verb in [&["plan", "vm.ova"][..], &["plan", "--json", "vm.ova"], &["plan", "-vv", "vm.ova"]]
    {
        let run = bench.run(verb.iter().chain(&GIVEN));
        assert!(!(run.stdout + &run.stderr).contains("hunter2"), "{verb:?}");
    }
    let run = bench.run(["plan", "--json", "vm.ova"].iter().chain(&GIVEN));
    assert_eq!(row(&run, "property.org.pw")["from"], "***");
    let run = convert(&bench, &["--json"]);
    assert!(!(run.stdout + &run.stderr).contains("hunter2"));
    for file in bench.files("out") {
        let holds = String::from_utf8_lossy(&bench.read(&file)).contains("hunter2");
        assert_eq!(holds, file.contains("ovf-env"), "{file}");
    }
}

#[test]
fn a_package_that_asks_for_guestinfo_gets_it_as_fw_cfg_too() {
    let bench = bench("com.vmware.guestInfo");
    convert(&bench, &[]);
    let text = String::from_utf8(bench.read("out/vm-ovf-env.xml")).unwrap();
    assert_eq!(document(&bench.read("out/vm-ovf-env.iso")), text);
    let mode = bench.path("out/vm-ovf-env.xml").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let domain = String::from_utf8(bench.read("out/domain.xml")).unwrap();
    let entry = format!(
        "<entry name=\"opt/com.vmware/guestinfo.ovfEnv\" file=\"{}\"/>",
        bench.path("out/vm-ovf-env.xml").display()
    );
    assert!(domain.contains("<sysinfo type=\"fwcfg\">") && domain.contains(&entry), "{domain}");
    let file = bench.path("out/domain.xml");
    if let Some(judged) = oracle("virt-xml-validate", [file.to_str().unwrap(), "domain"]) {
        assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
    }
    let run = bench.run(["plan", "--json", "vm.ova"].iter().chain(&GIVEN));
    let told = row(&run, "environment");
    assert_eq!((&told["action"], &told["code"]), (&json!("changed"), &json!("W0205")));
    assert_eq!(told["to"], "ovf-env.xml on a CD and in fw_cfg");
}

#[test]
fn the_environment_is_left_out_on_request_and_where_nothing_is_to_be_told() {
    let bench = bench("iso");
    let run = convert(&bench, &["--ignore", "environment"]);
    assert!(run.stderr.contains("W0203"), "{run:?}");
    let files = ["out/domain.xml", "out/relift.result.json", "out/vm-disk0.qcow2"];
    assert_eq!(bench.files("out"), files);
    let nothing = Bench::empty();
    nothing.write("vm.ova", &Package::small("vm", MIB).ova());
    assert_eq!(nothing.run(["convert", "vm.ova", "-o", "out"]).code, Some(0));
    assert_eq!(nothing.files("out"), files);
}

#[test]
fn an_asked_for_environment_without_properties_is_written_too() {
    let bench = Bench::empty();
    let xml = descriptor("iso").replace(PROPERTIES, "");
    bench.write("vm.ova", &Package::of_text("vm", &xml).ova());
    assert_eq!(bench.run(["convert", "vm.ova", "-o", "out"]).code, Some(0));
    assert!(document(&bench.read("out/vm-ovf-env.iso")).contains("<PropertySection/>"));
}

#[test]
fn a_failed_run_takes_the_cd_back() {
    let bench = bench("com.vmware.guestInfo");
    std::fs::create_dir(bench.path("out")).unwrap();
    bench.write("out/vm-ovf-env.xml", b"not ours");
    let run = bench.run(["convert", "vm.ova", "-o", "out"].iter().chain(&GIVEN));
    assert_eq!(run.code, Some(8), "{run:?}");
    assert!(run.stderr.starts_with("error[E0509]: "), "{run:?}");
    assert_eq!(bench.files("out"), ["out/vm-ovf-env.xml"]);
    assert_eq!(bench.read("out/vm-ovf-env.xml"), b"not ours");
}

#[test]
fn a_value_that_is_not_allowed_is_refused_with_what_is() {
    let bench = bench("iso");
    for (given, want) in [
        ("hostname=ab", "'ab' is not allowed: 2 characters, at least 3 are needed"),
        ("mode=a", "'a' is not allowed: one of a, b, c"),
        ("ssh=maybe", "'maybe' is no boolean"),
        ("nobody=1", "no property has the key 'nobody'; there are: org.hostname, org.url"),
        ("hostname=a\u{7}bc", "which XML cannot write"),
    ] {
        let run = bench.run(["plan", "--json", "vm.ova", "--prop", given]);
        assert_eq!((run.code, &run.json()["error"]["code"]), (Some(2), &json!("E0306")), "{run:?}");
        assert!(run.stderr.contains(want), "{want}: {run:?}");
    }
    let run = bench.run(["plan", "--json", "vm.ova", "--prop", "org.ssh=false"]);
    let told = row(&run, "property.org.ssh");
    assert_eq!(told["reason"], "set by you, though the package does not mean it to be set");
}

#[test]
fn a_capacity_of_a_property_without_a_value_blocks_until_it_has_one() {
    let xml =
        descriptor("iso").replacen("ovf:capacity=\"1048576\"", "ovf:capacity=\"${hostname}\"", 1);
    let bench = Bench::empty();
    bench.write("vm.ova", &Package::of_text("vm", &xml.replace("MinLen(3)", "MinLen(1)")).ova());
    let run = bench.run(["plan", "vm.ova"]);
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(run.stderr.contains("the property 'hostname' has no value"), "{run:?}");
    assert!(run.stderr.contains("--prop KEY=VALUE"), "{run:?}");
    assert_eq!(bench.run(["plan", "vm.ova", "--prop", "hostname=1048576"]).code, Some(0));
}

#[test]
fn accepting_the_licence_is_recorded_with_its_digest() {
    let licence = "You may.\n  You may not.";
    let section = format!(
        "{PROPERTIES}<EulaSection><Info>x</Info><License>{licence}</License></EulaSection>"
    );
    let bench = Bench::empty();
    let xml = descriptor("").replace(PROPERTIES, &section);
    bench.write("vm.ova", &Package::of_text("vm", &xml).ova());
    let full = bench.run(["inspect", "--full", "vm.ova"]).stdout;
    assert!(full.contains("    You may.\n    You may not.\n"), "{full}");
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(licence.as_bytes());
    let digest = hasher.finish().to_string();
    for (out, more, accepted, reason) in [
        ("one", &[][..], false, "read it: relift inspect --full; accept it: --accept-eula"),
        ("two", &["--accept-eula"], true, "set by you; recorded in the result"),
    ] {
        let run = bench.run(["plan", "--json", "vm.ova"].iter().chain(more));
        assert_eq!(row(&run, "eula")["reason"], reason);
        let run = bench.run(["convert", "vm.ova", "-o", out].iter().chain(more));
        assert_eq!(run.code, Some(0), "{run:?}");
        let bytes = bench.read(&format!("{out}/relift.result.json"));
        let result: Value = serde_json::from_slice(&bytes).unwrap();
        let want = json!([{"sha256": digest, "accepted": accepted}]);
        assert_eq!(result["machines"][0]["licences"], want);
    }
}

#[test]
fn inspect_tells_the_product() {
    let bench = bench("iso");
    let product = bench.run(["inspect", "--json", "vm.ova"]).json();
    assert_eq!(
        product["data"]["systems"][0]["product"],
        json!({
            "name": "Demo", "vendor": "Example", "version": "1.2", "full_version": null,
            "product_url": "https://example.org/demo", "vendor_url": null,
            "app_url": "https://${hostname}/"
        })
    );
    let full = bench.run(["inspect", "--full", "vm.ova"]).stdout;
    for line in ["  Product\n", "    about: https://example.org/demo\n", "    vendor: Example\n"] {
        assert!(full.contains(line), "{line}: {full}");
    }
}
