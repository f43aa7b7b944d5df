//! Every profile against its capture: register images and values got by hand or by pymodbus, never by our own decoder.

use std::collections::BTreeMap;
use std::path::Path;

use plantroom::config::builtin;
use plantroom::config::doc::Problems;
use plantroom::decode;
use plantroom::model::registers::{RegisterBlock, RegisterRange, RegisterType};
use plantroom::profile::{Profile, ProfileVariant};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capture {
    profile: String,
    #[expect(dead_code, reason = "for readers")]
    how: String,
    #[serde(default)]
    scene: Vec<Scene>,
    #[serde(flatten)]
    only: Scene,
}

#[derive(Deserialize, Default)]
struct Scene {
    #[serde(default)]
    name: String,
    variant: Option<String>,
    #[serde(default)]
    block: Vec<Block>,
    #[serde(default)]
    expect: BTreeMap<String, toml::Value>,
    #[serde(default)]
    bad: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Block {
    function: u8,
    address: u16,
    words: String,
}

fn reads(scene: &Scene) -> Vec<RegisterBlock> {
    // Blocks that touch become one, as a read across them would.
    let mut images: BTreeMap<(u8, u16), u16> = BTreeMap::new();
    for block in &scene.block {
        for (i, word) in block.words.split_whitespace().enumerate() {
            let address = block.address + u16::try_from(i).unwrap();
            images.insert((block.function, address), u16::from_str_radix(word, 16).unwrap());
        }
    }
    let mut out: Vec<RegisterBlock> = Vec::new();
    for ((function, address), word) in images {
        let area = RegisterType::of(function).unwrap();
        match out.last_mut() {
            Some(last) if last.range.register_type == area && last.range.end() == u32::from(address) => {
                last.range.count += 1;
                last.words.push(word);
            }
            _ => out.push(RegisterBlock {
                range: RegisterRange { register_type: area, address, count: 1 },
                words: vec![word],
            }),
        }
    }
    out
}

fn check_scene(profile: &Profile, layout: &ProfileVariant, scene: &Scene, wrong: &mut Vec<String>) {
    let reads = reads(scene);
    let at = format!("{} {} {}", profile.name, layout.name, scene.name);
    for point in &layout.points {
        let got = match decode::decode(point, &reads) {
            Some(Ok(value)) => value.to_string(),
            Some(Err(cause)) => format!("bad: {}", cause.word()),
            None => "not in the capture".to_string(),
        };
        let expect = match (scene.expect.get(&*point.name), scene.bad.get(&*point.name)) {
            (Some(toml::Value::String(text)), None) => text.clone(),
            (Some(toml::Value::Boolean(b)), None) => b.to_string(),
            (None, Some(cause)) => format!("bad: {cause}"),
            other => format!("(the capture says {other:?})"),
        };
        if got != expect {
            wrong.push(format!("{at}: {} is {got}, expected {expect}", point.name));
        }
    }
    for name in scene.expect.keys().chain(scene.bad.keys()) {
        if !layout.points.iter().any(|p| *p.name == **name) {
            wrong.push(format!("{at}: the capture has `{name}`, the profile does not"));
        }
    }
}

#[test]
fn built_in_data_files_are_sound() {
    let mut problems = Problems::default();
    let catalogue = builtin::read(None, &mut problems);
    let said: Vec<String> = problems.list.iter().map(ToString::to_string).collect();
    assert!(said.is_empty(), "{}", said.join("\n"));
    assert!(catalogue.vocabulary.classes.len() >= 11);
}

#[test]
fn every_profile_decodes_its_capture() {
    let mut problems = Problems::default();
    let catalogue = builtin::read(None, &mut problems);
    let mut wrong = Vec::new();
    for (name, profile) in &catalogue.profiles {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/captures/{name}.toml"));
        let Ok(text) = std::fs::read_to_string(&path) else {
            wrong.push(format!("{name}: there is no capture {}", path.display()));
            continue;
        };
        let capture: Capture = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(&capture.profile, name);
        let scenes: Vec<&Scene> =
            if capture.scene.is_empty() { vec![&capture.only] } else { capture.scene.iter().collect() };
        let mut seen: Vec<&str> = Vec::new();
        for scene in scenes {
            let variant = scene.variant.as_deref().unwrap_or("base");
            let layout = profile.variants.iter().find(|l| *l.name == *variant);
            let layout = layout.unwrap_or_else(|| panic!("{name}: no variant {variant}"));
            seen.push(variant);
            check_scene(profile, layout, scene, &mut wrong);
        }
        for layout in &profile.variants {
            if !seen.contains(&&*layout.name) {
                wrong.push(format!("{name}: no scene shows variant {}", layout.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}
