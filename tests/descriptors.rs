//! Descriptors as they come: spellings, folders, collections, configurations, message bundles.

use serde_json::{Value, json};
use testkit::{Descriptor, MIB, Package, Vmx};

use crate::bench::{Bench, Run};

/// A folder `vm` with a package of one small machine.
fn folder() -> Bench {
    let bench = Bench::empty();
    std::fs::create_dir(bench.path("vm")).unwrap();
    Package::small("vm", MIB).write_to(&bench.path("vm"));
    bench
}

/// A bench with one descriptor of `fixtures/ovf`, and files of nothing for its disks.
fn fixture(xml: &str, files: &[&str]) -> Bench {
    let bench = Bench::empty();
    bench.write("vm.ovf", xml.as_bytes());
    for file in files {
        bench.write(file, &testkit::stream_optimized(&testkit::content(MIB), file));
    }
    bench
}

/// Code and exit code of a refusal.
fn refusal(run: &Run) -> (Value, Option<i32>) {
    (run.json()["error"]["code"].clone(), run.code)
}

fn codes(run: &Run) -> Vec<String> {
    let document = run.json();
    let warnings = document["warnings"].as_array().unwrap();
    warnings.iter().map(|one| one["code"].as_str().unwrap().to_owned()).collect()
}

/// Checks that an object has each of these keys.
fn has(object: &Value, keys: &str) {
    for key in keys.split_whitespace() {
        assert!(object.get(key).is_some(), "{key} is not in {object}");
    }
}

#[test]
fn inspect_keeps_its_contract_for_every_kind_of_package() {
    let bench = folder();
    bench.write("vm.ova", &Package::small("vm", MIB).ova());
    bench.write("vm.vmx", Vmx::small("vm").text().as_bytes());
    for (source, kind, version, manifest) in [
        ("vm", "ovf", json!("1.x"), json!({"digest": "sha256", "files": 2})),
        ("vm/vm.ovf", "ovf", json!("1.x"), json!({"digest": "sha256", "files": 2})),
        ("vm.ova", "ova", json!("1.x"), json!({"digest": "sha256", "files": 2})),
        ("vm.vmx", "vmx", Value::Null, Value::Null),
    ] {
        let run = bench.run(["inspect", "--json", source]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let document = run.json();
        has(&document, "schema ok data warnings error");
        assert_eq!((&document["ok"], &document["error"]), (&json!(true), &Value::Null));
        let data = &document["data"];
        has(data, "producer configurations systems networks");
        assert_eq!((&data["kind"], &data["ovf_version"]), (&json!(kind), &version));
        assert_eq!((&data["manifest"], &data["signature"]), (&manifest, &json!("unsigned")));
        assert_eq!(data["networks"], json!(["VM Network"]));
        let system = &data["systems"][0];
        has(
            system,
            "id name os vcpus memory_bytes cores_per_socket firmware secure_boot tpm disks nics \
             cdroms floppies properties",
        );
        has(&system["os"], "osinfo vmware cim_id");
        has(&system["disks"][0], "id file format capacity_bytes packed_bytes bus controller unit");
        has(&system["nics"][0], "network model mac");
        assert_eq!((&system["name"], &system["cdroms"]), (&json!("vm"), &json!(1)));
        assert_eq!(system["disks"][0]["format"], "vmdk");
    }
}

#[test]
fn inspect_lists_configurations_and_properties() {
    let run = fixture(include_str!("../fixtures/ovf/unqualified-configuration.ovf"), &[])
        .run(["inspect", "--json", "vm.ovf"]);
    let data = &run.json()["data"];
    let configurations = data["configurations"].as_array().unwrap();
    assert_eq!(configurations.len(), 3);
    assert_eq!(configurations[1], json!({"id": "medium", "label": "Medium", "default": true}));
    let run = fixture(include_str!("../fixtures/ovf/properties.ovf"), &[])
        .run(["inspect", "--json", "vm.ovf"]);
    let system = &run.json()["data"]["systems"][0];
    has(&system["properties"][0], "key type default label user_configurable");
}

#[test]
fn a_plan_shows_the_configurations_and_which_one_is_taken() {
    let files = ["sys.vmdk"];
    let bench = fixture(include_str!("../fixtures/ovf/unqualified-configuration.ovf"), &files);
    for (words, chosen, vcpus) in [
        (vec!["plan", "vm.ovf", "--json"], "medium", 8),
        (vec!["plan", "vm.ovf", "--json", "--configuration", "small"], "small", 2),
    ] {
        let run = bench.run(words);
        let data = &run.json()["data"];
        assert_eq!(data["configuration"], chosen, "{run:?}");
        let taken = data["configurations"].as_array().unwrap().iter();
        let taken: Vec<_> =
            taken.filter(|one| one["chosen"] == true).map(|one| &one["id"]).collect();
        assert_eq!(taken, [chosen]);
        assert_eq!(data["machines"][0]["vcpus"], vcpus);
    }
    let text = bench.run(["plan", "vm.ovf", "--configuration", "large"]).stdout;
    for line in ["small    Small\n", "medium   Medium   default\n", "large    Large    taken\n"] {
        assert!(text.contains(line), "{text}");
    }
    let run = bench.run(["plan", "vm.ovf", "--json", "--configuration", "huge"]);
    assert_eq!(refusal(&run), (json!("E0306"), Some(2)));
    assert!(run.stderr.contains("the descriptor declares: small, medium, large"), "{run:?}");
}

#[test]
fn a_number_outside_the_range_of_the_package_is_warned_of() {
    let files = ["deployment-options-disk1.vmdk"];
    let bench = fixture(include_str!("../fixtures/ovf/deployment-options.ovf"), &files);
    for (vcpus, want) in
        [("8", json!("set by you")), ("9", json!("9 set by you, the package allows 8 at most"))]
    {
        let run = bench.run(["plan", "vm.ovf", "--json", "--vcpus", vcpus]);
        let rows = run.json()["data"]["machines"][0]["rows"].clone();
        let row = rows.as_array().unwrap().iter().find(|row| row["item"] == "vcpu");
        assert_eq!(row.unwrap()["reason"], want, "{run:?}");
    }
}

/// A collection of two machines that start one after the other.
fn collection() -> Bench {
    let one = Descriptor::new("web", "debian10_64Guest").xml();
    let two = Descriptor::new("db", "debian10_64Guest").xml();
    let body = |xml: &str| {
        let (_, rest) = xml.split_once("<VirtualSystem ").unwrap();
        let (system, _) = rest.split_once("</VirtualSystem>").unwrap();
        format!("<VirtualSystem {system}</VirtualSystem>")
    };
    let (head, _) = one.split_once("<VirtualSystem ").unwrap();
    let xml = format!(
        r#"{head}<VirtualSystemCollection ovf:id="app"><Info>x</Info>
        <StartupSection><Info>x</Info>
        <Item ovf:id="web" ovf:order="2" ovf:waitingForGuest="true" ovf:startDelay="60"/>
        <Item ovf:id="db" ovf:order="1" ovf:startDelay="30" ovf:stopAction="guestShutdown"/>
        </StartupSection>
        <InstallSection ovf:required="true" ovf:initialBootStopDelay="300"><Info>x</Info></InstallSection>
        {}{}</VirtualSystemCollection></Envelope>"#,
        body(&one),
        body(&two)
    );
    let bench = Bench::empty();
    bench.write("app.ovf", xml.as_bytes());
    bench
}

#[test]
fn the_order_of_starting_is_in_the_plan_and_in_the_result() {
    let bench = collection();
    let item = |id: &str, order: u32, delay: u64, waits: bool, stop: &str| {
        json!({
            "id": id, "order": order, "start_action": "powerOn", "start_delay_ms": delay,
            "waiting_for_guest": waits, "stop_action": stop, "stop_delay_ms": 0
        })
    };
    let (db, web) =
        (item("db", 1, 30_000, false, "guestShutdown"), item("web", 2, 60_000, true, "powerOff"));
    let run = bench.run(["plan", "app.ovf", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let both = json!([{"collection": ["app"], "items": [db, web]}]);
    assert_eq!(run.json()["data"]["startup"], both);
    let text = bench.run(["plan", "app.ovf"]).stdout;
    assert!(text.contains("1   db    then wait 30 s\n"), "{text}");
    assert!(text.contains("2   web   then wait for the guest, 60 s at most\n"), "{text}");
    assert!(run.stderr.contains("which then stops by itself within 300 s"), "{run:?}");
    let run = bench.run(["convert", "app.ovf", "-o", "out", "--vm", "web"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let result: Value = serde_json::from_slice(&bench.read("out/relift.result.json")).unwrap();
    assert_eq!(result["startup"], json!([{"collection": ["app"], "items": [web]}]));
    let run = bench.run(["plan", "app.ovf", "--json", "--vm", "db", "--vm", "web"]);
    assert_eq!(run.json()["data"]["startup"], both);
    let run = bench.run(["plan", "app.ovf", "--json", "--vm", "mail"]);
    assert_eq!(refusal(&run), (json!("E0302"), Some(4)));
}

#[test]
fn a_required_section_blocks_until_it_is_left_out() {
    let strange = r#"<x:OddSection xmlns:x="http://example.com/x" ovf:required="true"><Info>x</Info></x:OddSection>"#;
    let machine = Descriptor::new("vm", "debian10_64Guest").section(strange).xml();
    let package = machine
        .replace("<VirtualSystem ", &format!("{}<VirtualSystem ", strange.replace("Odd", "Other")));
    let element = package.replacen(
        "</Item>",
        r#"<x:Knob xmlns:x="http://example.com/x" ovf:required="true">1</x:Knob></Item>"#,
        1,
    );
    let bench = Bench::empty();
    bench.write("vm.ovf", element.as_bytes());
    let plan = |ignored: &[&str]| {
        let words = ["plan", "vm.ovf", "--json"].into_iter();
        bench.run(words.chain(ignored.iter().flat_map(|item| ["--ignore", item])))
    };
    let blockers = |run: &Run| codes(run).iter().filter(|code| *code == "E0305").count();
    let none = plan(&[]);
    assert_eq!((blockers(&none), none.code), (3, Some(6)), "{none:?}");
    assert!(none.stderr.contains("--ignore section:OtherSection"), "{none:?}");
    assert!(none.stderr.contains("--ignore element:Knob"), "{none:?}");
    let one = plan(&["section:OddSection"]);
    assert_eq!((blockers(&one), one.code), (2, Some(6)), "{one:?}");
    let all = plan(&["section:OddSection", "section:OtherSection", "element:Knob"]);
    assert_eq!((blockers(&all), all.code), (0, Some(0)), "{all:?}");
    assert_eq!(codes(&all).iter().filter(|code| *code == "W0203").count(), 3);
    assert_eq!(bench.run(["inspect", "vm.ovf"]).code, Some(0));
}

#[test]
fn a_folder_is_its_one_descriptor_or_else_its_one_vmx() {
    let bench = Bench::empty();
    std::fs::create_dir(bench.path("vm")).unwrap();
    let kind = || bench.run(["inspect", "--json", "vm"]).json()["data"]["kind"].clone();
    let refused = || {
        let run = bench.run(["inspect", "--json", "vm"]);
        assert_eq!(refusal(&run), (json!("E0103"), Some(4)), "{run:?}");
        run.stderr
    };
    assert!(refused().contains("no .ovf and no .vmx is in the folder vm\n"));
    bench.write("vm/other.ova", &Package::small("other", MIB).ova());
    let told = refused();
    assert!(told.contains("other.ova") && told.contains("point relift at it"), "{told}");
    bench.write("vm/a.VMX", Vmx::small("a").text().as_bytes());
    assert_eq!(kind(), "vmx");
    bench.write("vm/._b.vmx", b"not a machine");
    assert_eq!(kind(), "vmx");
    bench.write("vm/b.vmx", Vmx::small("b").text().as_bytes());
    let told = refused();
    assert!(told.contains("2 .vmx files") && told.contains("a.VMX, b.vmx"), "{told}");
    bench.write("vm/vm.OVF", Descriptor::new("vm", "debian10_64Guest").xml().as_bytes());
    assert_eq!(kind(), "ovf");
    bench.write("vm/w.ovf", b"");
    let told = refused();
    assert!(told.contains("2 .ovf files") && told.contains("vm.OVF, w.ovf"), "{told}");
    std::fs::remove_file(bench.path("vm/w.ovf")).unwrap();
    std::fs::remove_file(bench.path("vm/vm.OVF")).unwrap();
    std::fs::remove_file(bench.path("vm/b.vmx")).unwrap();
    std::fs::rename(bench.path("vm/a.VMX"), bench.path("a.vmx")).unwrap();
    std::os::unix::fs::symlink("../a.vmx", bench.path("vm/a.vmx")).unwrap();
    assert_eq!(refusal(&bench.run(["inspect", "--json", "vm"])), (json!("E0105"), Some(4)));
}

const BUNDLE: &str = r#"<Strings xmlns="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
  <Msg ovf:msgid="name">Zwilling</Msg></Strings>"#;

/// A package whose name is in a message bundle.
fn with_bundle() -> Package {
    let descriptor = Descriptor::new("vm", "debian10_64Guest").file("texts/de.msgs");
    let xml = descriptor.xml();
    let strings = r#"<Strings ovf:fileRef="texts/de.msgs" xml:lang="de"/>"#;
    let xml = xml
        .replacen("<Envelope ", "<Envelope xml:lang=\"de-AT\" ", 1)
        .replace("<Name>", "<Name ovf:msgid=\"name\">")
        .replace("</Envelope>", &format!("{strings}</Envelope>"));
    Package::of_text("vm", &xml).member("texts/de.msgs", BUNDLE.as_bytes().to_vec())
}

#[test]
fn a_message_bundle_is_read_wherever_it_can_be() {
    let bench = Bench::empty();
    let package = with_bundle();
    bench.write("vm.ova", &package.ova());
    bench.write("vm.zip", &package.zip(testkit::ZipMethod::Deflated));
    std::fs::create_dir(bench.path("vm")).unwrap();
    package.write_to(&bench.path("vm"));
    let name = |run: &Run| run.json()["data"]["systems"][0]["name"].clone();
    for source in ["vm.ova", "vm.zip", "vm"] {
        let run = bench.run(["inspect", "--json", source]);
        assert_eq!(name(&run), "Zwilling", "{run:?}");
        assert!(!codes(&run).contains(&"W0610".to_owned()), "{run:?}");
    }
    // On a pipe it comes too late.
    let run = bench.shell("cat vm.ova | relift inspect --json -");
    assert_eq!(name(&run), "vm", "{run:?}");
    assert!(run.stderr.contains("on a pipe it is still to come"), "{run:?}");
    std::fs::remove_dir_all(bench.path("vm/texts")).unwrap();
    let run = bench.run(["inspect", "--json", "vm"]);
    assert_eq!((name(&run), run.code), (json!("vm"), Some(0)), "{run:?}");
    assert!(codes(&run).contains(&"W0610".to_owned()));
}

#[test]
fn a_message_bundle_is_bound_by_the_manifest() {
    let bench = Bench::empty();
    let package = with_bundle().manifest(ovf::manifest::Algorithm::Sha256);
    let changed = BUNDLE.replace("Zwilling", "Bösewicht");
    bench.write("vm.ova", &package.ova_with_another("texts/de.msgs", changed.as_bytes()));
    assert_eq!(refusal(&bench.run(["plan", "--json", "vm.ova"])), (json!("E0203"), Some(5)));
    let package = with_bundle().manifest(ovf::manifest::Algorithm::Sha256).manifest_of(&["vm.ovf"]);
    bench.write("vm.ova", &package.ova());
    assert_eq!(refusal(&bench.run(["plan", "--json", "vm.ova"])), (json!("E0205"), Some(5)));
}

#[test]
fn the_bytes_of_a_descriptor_do_not_matter() {
    let xml = Descriptor::new("vm", "debian10_64Guest")
        .controller("3", "6", "lsilogic", "0")
        .empty_disk(MIB, "3", "0")
        .nic("VmxNet3", "VM Netz")
        .xml();
    let utf16 = xml.replace("UTF-8", "UTF-16");
    let units = |order: fn(u16) -> [u8; 2]| {
        std::iter::once('\u{feff}')
            .chain(utf16.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(order)
            .collect::<Vec<u8>>()
    };
    let bench = Bench::empty();
    let mut models = Vec::new();
    for bytes in [
        xml.clone().into_bytes(),
        format!("\u{feff}{xml}").into_bytes(),
        xml.replace('\n', "\r\n").into_bytes(),
        xml.split_once('\n').unwrap().1.as_bytes().to_vec(),
        xml.replace("rasd:", "r:").replace(":rasd=", ":r=").into_bytes(),
        xml.replace("InstanceID", "InstanceId").into_bytes(),
        xml.replace("<rasd:ResourceType>", "<rasd:ResourceType>\n  ").into_bytes(),
        xml.replace("xmlns:vmw=", "xmlns:other=").into_bytes(),
        units(u16::to_le_bytes),
        units(u16::to_be_bytes),
    ] {
        bench.write("vm.OVF", &bytes);
        let run = bench.run(["inspect", "--json", "vm.OVF"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        models.push(run.json()["data"]["systems"].clone());
    }
    assert!(models.iter().all(|model| *model == models[0]), "{models:#?}");
    assert_eq!(models[0][0]["disks"][0]["controller"], "lsilogic");
}

#[test]
fn a_file_is_found_by_every_spelling_of_its_name() {
    for (href, member, codes_want) in [
        ("a%20b.vmdk", "a b.vmdk", &[][..]),
        ("caf\u{e9}.vmdk", "cafe\u{301}.vmdk", &[]),
        ("./disks/a.vmdk", "disks/a.vmdk", &[]),
        ("disks/a.vmdk", "a.vmdk", &["W0608"]),
        ("a.vmdk", "a.vmdk.000000002", &["W0608"]),
    ] {
        let descriptor = Descriptor::new("vm", "debian10_64Guest")
            .controller("3", "20", "AHCI", "0")
            .disk(href, MIB, "3", "0");
        let disk = testkit::stream_optimized(&testkit::content(MIB), "a.vmdk");
        let package = Package::new("vm", &descriptor).member(member, disk);
        let bench = Bench::empty();
        bench.write("vm.ova", &package.ova());
        std::fs::create_dir(bench.path("vm")).unwrap();
        package.write_to(&bench.path("vm"));
        for source in ["vm.ova", "vm"] {
            let run = bench.run(["inspect", "--json", source]);
            assert_eq!(run.code, Some(0), "{run:?}");
            assert_eq!(codes(&run), codes_want, "{href} {source}");
            let disk = &run.json()["data"]["systems"][0]["disks"][0];
            assert!(disk["packed_bytes"].as_u64().is_some(), "{disk}");
        }
        assert_eq!(bench.run(["convert", "vm.ova", "-o", "out"]).code, Some(0), "{href}");
    }
}
