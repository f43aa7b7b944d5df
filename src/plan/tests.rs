use rust_decimal::Decimal;

use super::*;
use crate::model::point::{Form, Kind, Retention};
use crate::model::registers::Area;
use crate::profile::{Order, Wire};

fn rules() -> ReadRules {
    ReadRules {
        max_regs: 125,
        max_bits: 2000,
        max_gap: 10,
        barriers: vec![],
        atomic: vec![],
        pause_ms: 0,
        timeout_ms: None,
    }
}

fn point(address: u16, count: u16) -> PointDef {
    let span = Span { area: Area::Holding, address, count };
    PointDef {
        name: format!("p{address}").into(),
        kind: Kind::Number,
        retention: Retention::Telemetry,
        form: Form::Exact(0),
        span,
        wire: Wire::Int { registers: 1, signed: false },
        order: Order::Abcd,
        group: "fast".into(),
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        scale_from: vec![],
        invert: false,
        true_when: vec![],
        sentinels: vec![],
        range: None,
        modulus: None,
        texts: std::collections::BTreeMap::default(),
    }
}

/// Plans points given as `address+count` and prints the reads the same way.
fn check(points: &str, rules: &ReadRules, expect: &str) {
    let points: Vec<PointDef> = points
        .split_whitespace()
        .map(|p| {
            let (a, c) = p.split_once('+').unwrap();
            point(a.parse().unwrap(), c.parse().unwrap())
        })
        .collect();
    let plan = plan(&points, rules);
    let got: Vec<String> = plan.blocks.iter().map(|b| format!("{}+{}", b.span.address, b.span.count)).collect();
    assert_eq!(got.join(" "), expect);
}

#[test]
fn neighbours_become_one_read() {
    check("0+2 2+2 4+2", &rules(), "0+6");
}

#[test]
fn gaps_up_to_max_gap_are_read_across() {
    check("0+1 11+1 23+1", &rules(), "0+12 23+1");
}

#[test]
fn no_read_is_longer_than_max_regs_and_no_point_is_cut() {
    check("0+2 2+2 4+2", &ReadRules { max_regs: 5, ..rules() }, "0+4 4+2");
}

#[test]
fn a_read_may_begin_at_a_barrier_and_never_cross_it() {
    check("0+2 2+2 4+2", &ReadRules { barriers: vec![2], ..rules() }, "0+2 2+4");
    check("0+2 2+2 4+2", &ReadRules { barriers: vec![3], ..rules() }, "0+2 2+2 4+2");
}

#[test]
fn an_atomic_run_is_read_whole_and_alone() {
    let atomic = vec![Span { area: Area::Holding, address: 10, count: 16 }];
    check("8+1 12+1 14+1 26+1", &ReadRules { atomic, ..rules() }, "8+1 10+16 26+1");
}

#[test]
fn the_last_address_of_an_area_can_be_read() {
    check("65534+2", &rules(), "65534+2");
}

#[test]
fn a_refused_block_is_split_at_its_widest_gap_until_the_hole_is_left() {
    let points = [point(0, 1), point(1, 1), point(8, 1), point(9, 1)];
    let mut plan = plan(&points, &rules());
    let block = plan.blocks[0].clone();
    let Refusal::Split(left, right) = refuse(&block) else { panic!("four points can be split") };
    assert_eq!((left.span.address, left.span.count), (0, 2));
    assert_eq!((right.span.address, right.span.count), (8, 2));
    let Refusal::Split(a, b) = refuse(&right) else { panic!("two points can be split") };
    assert_eq!(refuse(&b), Refusal::Hole(Span { area: Area::Holding, address: 9, count: 1 }));
    plan.learn(&block, vec![left, a], vec![(b.span, Cause::IllegalAddress)]);
    assert_eq!(plan.blocks.len(), 2);
    assert_eq!(plan.refusal_of(&points[3].span), Some(Cause::IllegalAddress));
    assert_eq!(plan.refusal_of(&points[2].span), None);
    assert_eq!(plan.holes.iter().map(|h| (h.address, h.count)).collect::<Vec<_>>(), [(2, 6)]);
    plan.retry_refused();
    assert_eq!(plan.blocks.len(), 3);
}

#[test]
fn wire_time_of_a_serial_read() {
    let line = crate::model::line::Line { baud: 9600, parity: crate::model::line::Parity::None, stop_bits: 1 };
    let bus = wire::Bus::Serial { line, turnaround_us: 0 };
    let block = Block { span: Span { area: Area::Holding, address: 0, count: 20 }, needs: vec![] };
    // 53 characters of 1041.7 us, and twice 3.5 characters of silence.
    assert_eq!(wire::read_us(bus, &block, 0), 55_209 + 2 * 3_646);
}
