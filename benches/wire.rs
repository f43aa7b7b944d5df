//! Plan and decode: what a cycle costs without the wire.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use divan::Bencher;
use divan::counter::ItemsCount;
use plantroom::config::builtin;
use plantroom::config::doc::Problems;
use plantroom::decode;
use plantroom::link::frame::{Expect, Lenient, tcp};
use plantroom::model::registers::RegisterBlock;
use plantroom::plan;
use plantroom::profile::ProfileVariant;

fn main() {
    divan::main();
}

fn layout(profile: &str) -> ProfileVariant {
    builtin::read(None, &mut Problems::default()).profiles[profile].variants[0].clone()
}

const PROFILES: [&str; 4] = ["eastron-sdm630", "abb-b23", "carlo-gavazzi-em340", "deepsea-dse"];

#[divan::bench(args = PROFILES)]
fn plan(bencher: Bencher<'_, '_>, profile: &str) {
    let layout = layout(profile);
    bencher.counter(ItemsCount::new(layout.points.len())).bench(|| plan::plan(&layout.points, &layout.read_rules));
}

#[divan::bench(args = PROFILES)]
fn decode_all(bencher: Bencher<'_, '_>, profile: &str) {
    let layout = layout(profile);
    let read =
        |b: plan::ReadBlock| RegisterBlock { range: b.span, words: (0..b.span.count).map(|i| 0x4366 ^ i).collect() };
    let reads: Vec<RegisterBlock> =
        plan::plan(&layout.points, &layout.read_rules).blocks.into_iter().map(read).collect();
    bencher
        .counter(ItemsCount::new(layout.points.len()))
        .bench(|| layout.points.iter().filter_map(|p| decode::decode(p, &reads)).flatten().count());
}

#[divan::bench]
fn recognise_an_answer_of_125_registers(bencher: Bencher<'_, '_>) {
    let ask = Expect::of_tcp(&[0, 5, 0, 0, 0, 6, 7, 3, 0, 16, 0, 125], Lenient::default()).unwrap();
    let mut answer = vec![0, 5, 0, 0, 0, 253, 7, 3, 250];
    answer.resize(259, 7);
    bencher.bench(|| tcp(divan::black_box(&answer), Some(&ask)));
}
