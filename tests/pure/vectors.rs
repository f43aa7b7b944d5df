//! Types of real register maps, each with vectors worked out by hand; keys that a type cannot have; factors; variants.

use plantroom::decode;
use plantroom::model::registers::{RegisterBlock, RegisterRange, RegisterType};
use plantroom::profile::Profile;
use plantroom::profile::build::build;
use plantroom::profile::settings::ProfileFile;
use plantroom::profile::vocabulary::Vocabulary;

const HEAD: &str = "format = 1\nname = \"p\"\nmaker = \"t\"\nmodel = \"t\"\nclass = \"any\"\nsource = \"t\"\n\
                    checked_on_hardware = false\n[groups]\ng = \"1s\"\n";

fn parse(text: &str) -> Result<(Option<Profile>, Vec<String>), String> {
    let file: ProfileFile = toml::from_str(&format!("{HEAD}{text}")).map_err(|e| e.to_string())?;
    let (profile, findings) = build(&file, &Vocabulary::default());
    Ok((profile, findings.iter().map(|f| format!("{}: {}", f.path.join("."), f.message)).collect()))
}

/// The value of point `x_p` (its keys as TOML) with these words from holding register 100 on.
fn value(keys: &str, words: &str) -> String {
    let (profile, findings) = parse(&format!("[points.x_p]\naddress = 100\n{keys}\n")).unwrap();
    let profile = profile.unwrap_or_else(|| panic!("{keys}: {findings:?}"));
    let def = &profile.variants[0].points[0];
    let words: Vec<u16> = words.split_whitespace().map(|w| u16::from_str_radix(w, 16).unwrap()).collect();
    let span = RegisterRange {
        register_type: RegisterType::Holding,
        address: 100,
        count: u16::try_from(words.len()).unwrap(),
    };
    match decode::decode(def, &[RegisterBlock { range: span, words }]) {
        Some(Ok(value)) => value.to_string(),
        Some(Err(cause)) => format!("bad: {}", cause.word()),
        None => "not read".to_string(),
    }
}

#[test]
fn integers_of_24_and_48_bits_signs_and_tens_of_thousands() {
    for (keys, words, expect) in [
        ("type = \"u24\"", "0012 3456", "1193046"),
        ("type = \"u24\"", "FF12 3456", "1193046"),
        ("type = \"u24\"\norder = \"CDAB\"", "3456 0012", "1193046"),
        ("type = \"u24\"\norder = \"DCBA\"", "5634 1200", "1193046"),
        ("type = \"i24\"", "00FF FFFF", "-1"),
        ("type = \"i24\"", "0080 0000", "-8388608"),
        ("type = \"i24\"", "007F FFFF", "8388607"),
        ("type = \"i24\"\nscale = \"0.1\"", "00FF FFF6", "-1"),
        ("type = \"u48\"", "0001 0000 0000", "4294967296"),
        ("type = \"u48\"", "FFFF FFFF FFFF", "281474976710655"),
        ("type = \"u48\"\norder = \"CDAB\"", "0002 0001 0000", "65538"),
        ("type = \"i48\"", "FFFF FFFF FFFE", "-2"),
        ("type = \"i48\"\nscale = \"0.001\"", "8000 0000 0000", "-140737488355.328"),
        ("type = \"bcd48\"", "0012 3456 7890", "1234567890"),
        ("type = \"bcd48\"", "0012 3A56 7890", "bad: bad_digits"),
        ("type = \"m10k32\"", "04D2 162E", "12345678"),
        ("type = \"m10k32\"\norder = \"CDAB\"", "162E 04D2", "12345678"),
        ("type = \"m10k32\"", "0000 2710", "bad: bad_digits"),
        ("type = \"m10k48\"\nscale = \"0.01\"", "0001 0000 0001", "1000000.01"),
        ("type = \"m10k64\"", "270F 270F 270F 270F", "9999999999999999"),
        ("type = \"sm16\"", "8005", "-5"),
        ("type = \"sm16\"", "0005", "5"),
        ("type = \"sm16\"", "8000", "0"),
        ("type = \"sm32\"\nscale = \"0.1\"", "8000 0065", "-10.1"),
        ("type = \"sm32\"\norder = \"CDAB\"", "0065 0000", "101"),
    ] {
        assert_eq!(value(keys, words), expect, "{keys} {words}");
    }
}

#[test]
fn sixty_four_bits_in_every_order_of_their_halves() {
    // 0x0102030405060708
    for (order, words) in [
        ("ABCD", "0102 0304 0506 0708"),
        ("CDAB", "0708 0506 0304 0102"),
        ("BADC", "0201 0403 0605 0807"),
        ("DCBA", "0807 0605 0403 0201"),
        ("EFGHABCD", "0506 0708 0102 0304"),
        ("CDABGHEF", "0304 0102 0708 0506"),
        ("FEHGBADC", "0605 0807 0201 0403"),
        ("DCBAHGFE", "0403 0201 0807 0605"),
    ] {
        assert_eq!(value(&format!("type = \"u64\"\norder = \"{order}\""), words), "72623859790382856", "{order}");
    }
    assert_eq!(value("type = \"f64\"\norder = \"EFGHABCD\"", "0000 0000 3FF8 0000"), "1.5");
    let (_, findings) = parse("[points.x_p]\naddress = 0\ntype = \"u32\"\norder = \"EFGHABCD\"\n").unwrap();
    assert!(findings.iter().any(|f| f.contains("this order is one of 64 bits")), "{findings:?}");
}

#[test]
fn words_apart_are_one_value_and_one_read() {
    let text = "[points.x_p]\nwords = [100, 103]\ntype = \"u32\"\n";
    let profile = parse(text).unwrap().0.unwrap();
    let def = &profile.variants[0].points[0];
    assert_eq!((def.span.address, def.span.count), (100, 4));
    let words = RegisterBlock { range: def.span, words: vec![0x0001, 0xAAAA, 0xBBBB, 0x0002] };
    assert_eq!(decode::decode(def, &[words]).unwrap().unwrap().to_string(), "65538");
    let reversed = parse("[points.x_p]\nwords = [103, 100]\ntype = \"u32\"\n").unwrap().0.unwrap();
    let def = &reversed.variants[0].points[0];
    let words = RegisterBlock { range: def.span, words: vec![0x0001, 0xAAAA, 0xBBBB, 0x0002] };
    assert_eq!(decode::decode(def, &[words]).unwrap().unwrap().to_string(), "131073");
    for (text, what) in [
        ("words = [100, 300]\ntype = \"u32\"", "points.x_p.words: its registers lie 200 apart, and one read takes 125"),
        ("words = [1, 2, 3]\ntype = \"u32\"", "points.x_p.words: this type has 2 registers, and `words` names 3"),
        (
            "words = [1, 2]\naddress = 1\ntype = \"u32\"",
            "points.x_p.words: `address` and `words` both say where it lies",
        ),
        ("type = \"u32\"", "points.x_p: missing field `address`"),
        ("address = 1", "points.x_p: missing field `type`"),
    ] {
        let (_, findings) = parse(&format!("[points.x_p]\n{text}\n")).unwrap();
        assert!(findings.iter().any(|f| f == what), "{what}: {findings:?}");
    }
}

#[test]
fn factors_are_numbers_of_registers_powers_of_ten_or_tables() {
    let from = |keys: &str| format!("type = \"u16\"\nscale_from = {{ address = 101, {keys} }}");
    for (keys, words, expect) in [
        ("type = \"u16\"", "0064 0028", "4000"),
        ("scale = \"0.1\"", "0064 0005", "50"),
        ("type = \"u16\"", "0064 0000", "bad: no_scale"),
        ("type = \"u32\"", "0064 0001 0000", "6553600"),
        ("type = \"f32\"", "0064 3F00 0000", "50"),
        ("type = \"f32\"", "0064 7FC0 0000", "bad: no_scale"),
        ("power_of_ten = true, type = \"i16\"", "0064 FFFE", "1"),
        ("power_of_ten = true, type = \"i16\"", "0064 0003", "100000"),
        ("power_of_ten = true, type = \"i16\"", "0064 0000", "100"),
        ("power_of_ten = true, type = \"i16\"", "0064 001D", "bad: no_scale"),
        ("map = { 7 = \"0.25\" }", "0064 0007", "25"),
    ] {
        assert_eq!(value(&from(keys), words), expect, "{keys} {words}");
    }
    // CT and PT, and the power of ten on top, exactly.
    let three = "type = \"u16\"\nscale = \"0.001\"\nscale_from = [{ address = 101 }, { address = 102 }, \
                 { address = 103, type = \"i16\", power_of_ten = true }]";
    assert_eq!(value(three, "0007 0028 0064 FFFF"), "2.8");
    for (keys, error) in [
        ("scale_from = { map = { 0 = \"1\" } }", "missing field `address`"),
        ("scale_from = [{ address = 1 }, { adress = 2 }]", "unknown field `adress`"),
        ("scale_from = 5", "a table { address = 10"),
    ] {
        let said = parse(&format!("[points.x_p]\naddress = 0\ntype = \"u16\"\n{keys}\n")).unwrap_err();
        assert!(said.contains(error), "{keys}: {said}");
    }
    let both = "[points.x_p]\naddress = 0\ntype = \"u16\"\nscale_from = { address = 1, power_of_ten = true, map = { 0 = \"1\" } }\n";
    assert!(parse(both).unwrap().1[0].contains("exclude each other"));
}

#[test]
fn texts_in_other_characters_numbers_in_text_and_dates() {
    let string = |length: u8, more: &str| format!("type = \"string\"\nlength = {length}\n{more}");
    for (keys, words, expect) in [
        // 电梯 in GBK: B5E7 CCDD
        (string(3, "charset = \"gbk\""), "B5E7 CCDD 0000", "电梯"),
        (string(2, "charset = \"gbk\"\nchars = \"swapped\""), "E7B5 DDCC", "电梯"),
        (string(1, "charset = \"gbk\""), "B5FF", "bad: bad_text"),
        (string(2, "charset = \"latin1\""), "4BE4 6C74", "Kält"),
        (string(2, ""), "4BE4 6C74", "bad: bad_text"),
        (string(3, "number = true"), "2D31 322E 3530", "-12.5"),
        (string(4, "number = true\nscale = \"0.1\""), "2020 3132 2E35 0000", "1.25"),
        (string(2, "number = true"), "312C 3530", "bad: bad_text"),
        (string(2, "number = true\nrange = [0, 10]"), "3131 0000", "bad: out_of_range"),
        (string(2, "sentinels = { \"N/A\" = \"not_available\" }"), "4E2F 4100", "bad: not_available"),
        ("type = \"datetime\"\nlayout = \"words\"".into(), "07EA 000B 001A 0001 0002 0003", "2026-11-26 01:02:03"),
        ("type = \"datetime\"\nlayout = \"words\"".into(), "001A 000B 001A 0001 0002 0003", "2026-11-26 01:02:03"),
        ("type = \"datetime\"\nlayout = \"words\"".into(), "07EA 0002 001E 0001 0002 0003", "bad: bad_text"),
        ("type = \"datetime\"\nlayout = \"bytes\"".into(), "1A0B 1A01 0203", "2026-11-26 01:02:03"),
        ("type = \"datetime\"\nlayout = \"bcd\"".into(), "2611 2601 0203", "2026-11-26 01:02:03"),
        ("type = \"datetime\"\nlayout = \"bcd\"".into(), "2611 2A01 0203", "bad: bad_digits"),
        // 1,700,000,000 = 2023-11-14T22:13:20Z
        ("type = \"datetime\"\nlayout = \"unix\"".into(), "6553 F100", "2023-11-14 22:13:20"),
        ("type = \"datetime\"\nlayout = \"iec\"".into(), "001A 0B9A 0102 0BB8", "2026-11-26 01:02:03"),
        ("type = \"datetime\"\nlayout = \"iec\"".into(), "001A 0B1A 0182 0BB8", "bad: bad_text"),
    ] {
        assert_eq!(value(&keys, words), expect, "{keys} {words}");
    }
}

#[test]
fn sentinels_of_bits_are_honoured() {
    let keys = "type = \"bool\"\nbit = 3\nsentinels = { 0xFFFF = \"not_available\" }";
    assert_eq!(value(keys, "FFFF"), "bad: not_available");
    assert_eq!(value(keys, "0008"), "true");
}

#[test]
fn a_key_that_has_no_effect_on_its_type_is_refused() {
    for (keys, key) in [
        ("type = \"bool\"\nbit = 1\nrange = [0, 1]", "range"),
        ("type = \"bool\"\nbit = 1\nscale = \"2\"", "scale"),
        ("type = \"bool\"\nbit = 1\noffset = \"2\"", "offset"),
        ("type = \"bool\"\nbit = 1\nscale_from = { address = 3 }", "scale_from"),
        ("type = \"bool\"\nfunction = 1\nsentinels = { 1 = \"not_available\" }", "sentinels"),
        ("type = \"bool\"\nfunction = 1\norder = \"CDAB\"", "order"),
        ("type = \"string\"\nlength = 2\norder = \"CDAB\"", "order"),
        ("type = \"string\"\nlength = 2\nscale = \"2\"", "scale"),
        ("type = \"string\"\nlength = 2\nrange = [0, 5]", "range"),
        ("type = \"string\"\nlength = 2\ninvert = true", "invert"),
        ("type = \"string\"\nlength = 2\nmodulus = \"5\"", "modulus"),
        ("type = \"string\"\nlength = 2\nsentinels = { 0x4E2F4120 = \"not_available\" }", "sentinels.0x4E2F4120"),
        ("type = \"u16\"\ninvert = true", "invert"),
        ("type = \"u16\"\ninvert = true\ntrue_when = []", "invert"),
        ("type = \"u16\"\nchars = 1", "chars"),
        ("type = \"u16\"\ncharset = \"gbk\"", "charset"),
        ("type = \"u16\"\nlength = 9", "length"),
        ("type = \"u16\"\nnumber = true", "number"),
        ("type = \"u16\"\nlayout = \"bcd\"", "layout"),
        ("type = \"u16\"\ntrue_when = []", "true_when"),
        ("type = \"u16\"\ntrue_when = [1]\nscale = \"2\"", "scale"),
        ("type = \"u16\"\ntrue_when = [1]\nrange = [0, 1]", "range"),
        ("type = \"f32\"\ntrue_when = [1]", "true_when"),
        ("type = \"f32\"\ntexts = { 1 = { zh = \"a\", en = \"a\" } }", "texts"),
        ("type = \"u16\"\nsentinels = { 0x10000 = \"not_available\" }", "sentinels.0x10000"),
        ("type = \"u8lo\"\nsentinels = { 0x100 = \"not_available\" }", "sentinels.0x100"),
        ("type = \"u24\"\nsentinels = { 0x1000000 = \"not_available\" }", "sentinels.0x1000000"),
        ("type = \"u16\"\nbits = [0, 4]\nsentinels = { 16 = \"not_available\" }", "sentinels.16"),
        ("type = \"datetime\"\nlayout = \"bcd\"\nsentinels = { 0 = \"not_available\" }", "sentinels"),
    ] {
        let (profile, findings) = parse(&format!("[points.x_p]\naddress = 0\n{keys}\n")).unwrap();
        let path = format!("points.x_p.{key}: ");
        assert!(profile.is_none() && findings.iter().any(|f| f.starts_with(&path)), "{keys}: {findings:?}");
    }
}

#[test]
fn a_modulus_is_for_registers() {
    let vocabulary = {
        let mut problems = plantroom::config::doc::Problems::default();
        plantroom::config::builtin::read(None, &mut problems).vocabulary
    };
    let text = HEAD.replace("\"any\"", "\"meter\"")
        + "[points.voltage_l1_v]\naddress = 0\ntype = \"u16\"\nmodulus = \"100\"\n[points.x_pulses]\naddress = 9\ntype = \"u16\"\nmodulus = \"100\"\n";
    let (_, findings) = build(&toml::from_str(&text).unwrap(), &vocabulary);
    let said: Vec<String> = findings.iter().map(|f| format!("{}: {}", f.path.join("."), f.message)).collect();
    assert_eq!(said, ["points.voltage_l1_v.modulus: `modulus` has no effect on a number: only counters roll over"]);
}

#[test]
fn a_variant_inherits_what_it_does_not_replace() {
    let text = "[ident]\naddress = 9\ntype = \"u16\"\n[points.x_p]\naddress = 0\ntype = \"u32\"\nscale = \"0.01\"\norder = \"CDAB\"\n\
                [variants.v2]\nident = [112]\n[variants.v2.points.x_p]\naddress = 6\n\
                [variants.v3]\nident = [113]\n[variants.v3.points.x_p]\ntype = \"string\"\nlength = 2\n";
    let profile = parse(text).unwrap().0.unwrap_or_else(|| panic!("{:?}", parse(text).unwrap().1));
    let of = |ident: &str| profile.variant(Some(ident)).points[0].clone();
    assert_eq!((of("112").span.address, of("112").scale.to_string()), (6, "0.01".to_string()));
    assert_eq!(of("112").order, plantroom::profile::Order::Cdab);
    assert_eq!(
        (of("113").span.address, of("113").scale.to_string()),
        (0, "1".to_string()),
        "a new type brings no scale"
    );
}

#[test]
fn a_float_in_a_wrong_order_is_said_to_be_right_in_another() {
    use plantroom::decode::word_order::better_orders;
    let orders = |keys: &str, words: [u16; 2]| -> Vec<String> {
        let (profile, _) = parse(&format!("[points.x_p]\naddress = 100\n{keys}\n")).unwrap();
        let range = RegisterRange { register_type: RegisterType::Holding, address: 100, count: 2 };
        let all =
            better_orders(&profile.unwrap().variants[0].points[0], &[RegisterBlock { range, words: words.to_vec() }]);
        all.into_iter().map(|(order, value)| format!("{order:?} {value}")).collect()
    };
    let float = "type = \"f32\"";
    assert_eq!(orders(float, [0x8000, 0x4366]), ["Cdab 230.5"]);
    assert_eq!(orders(float, [0x6643, 0x0080]), ["Badc 230.5"]);
    assert_eq!(orders("type = \"f32\"\norder = \"CDAB\"", [0x4366, 0x8000]), ["Abcd 230.5"]);
    // Out of its range as it stands, so is the order in question.
    assert_eq!(orders("type = \"f32\"\nrange = [0.0, 500.0]", [0x8000, 0x4366]), ["Cdab 230.5"]);
    let none: [String; 0] = [];
    for (keys, words) in [
        (float, [0xFFC0, 0x0000]),
        (float, [0x7FC0, 0x0000]),
        ("type = \"f32\"\nsentinels = { \"0xFFC00000\" = \"not_available\" }", [0xFFC0, 0x0000]),
    ] {
        assert_eq!(orders(keys, words), none, "there is no value: {words:?}");
    }
    assert_eq!(orders(float, [0x4366, 0x8000]), none, "it is right as it is");
    assert_eq!(orders(float, [0, 0]), none, "nothing is a quantity too");
    assert_eq!(orders("type = \"u32\"", [0x8000, 0x4366]), none, "no float");
}
