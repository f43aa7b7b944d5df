use rust_decimal::Decimal;

use super::*;
use crate::model::point::{Encoding, PointKind, Retention};
use crate::model::registers::RegisterType;
use crate::profile::{Order, RegisterEncoding};

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
    let span = RegisterRange { register_type: RegisterType::Holding, address, count };
    PointDef {
        name: format!("p{address}").into(),
        kind: PointKind::Number,
        retention: Retention::Telemetry,
        encoding: Encoding::Exact(0),
        span,
        word_offsets: vec![],
        register_encoding: RegisterEncoding::Int { registers: 1, signed: false },
        order: Order::Abcd,
        poll_group: "fast".into(),
        scale: Decimal::ONE,
        offset: Decimal::ZERO,
        scale_registers: vec![],
        invert: false,
        true_when: vec![],
        sentinels: vec![],
        text_sentinels: vec![],
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
    let atomic = vec![RegisterRange { register_type: RegisterType::Holding, address: 10, count: 16 }];
    check("8+1 12+1 14+1 26+1", &ReadRules { atomic, ..rules() }, "8+1 10+16 26+1");
}

#[test]
fn the_last_address_of_an_area_can_be_read() {
    check("65534+2", &rules(), "65534+2");
}

const SECOND: u64 = 1_000_000;

fn spans(blocks: &[ReadBlock]) -> String {
    let all: Vec<String> = blocks.iter().map(|b| format!("{}+{}", b.span.address, b.span.count)).collect();
    all.join(" ")
}

/// One cycle of a unit that refuses (or is silent about) reads over these addresses; prints the reads that it answered.
fn cycle(plan: &mut ReadPlan, bad: &[u16], cause: Cause, now_us: u64) -> String {
    plan.begin(now_us);
    let mut queue: std::collections::VecDeque<ReadBlock> = plan.blocks_in_order().into();
    let mut good = Vec::new();
    while let Some(block) = queue.pop_front() {
        let is_bad = bad.iter().any(|a| (u32::from(block.span.address)..block.span.end()).contains(&u32::from(*a)));
        if !is_bad {
            plan.note_answer(&block);
            good.push(block);
        } else if let Some((left, right)) = plan.split(&block, cause, now_us) {
            queue.push_front(right);
            queue.push_front(left);
        } else {
            plan.leave_out(&block, cause, now_us, UnixMillis(7));
        }
    }
    good.sort_by_key(|b| b.span);
    spans(&good)
}

#[test]
fn a_refused_block_is_split_at_its_widest_gap_until_one_need_is_left_out() {
    let points = [point(0, 1), point(1, 1), point(8, 1), point(9, 1)];
    let mut plan = plan(&points, &rules());
    assert_eq!(cycle(&mut plan, &[9], Cause::IllegalAddress, 0), "0+2 8+1");
    assert_eq!(
        plan.left_out_of(&points[3].span).map(|l| (l.cause, l.since)),
        Some((Cause::IllegalAddress, UnixMillis(7)))
    );
    assert_eq!(plan.left_out_of(&points[2].span), None);
    assert_eq!(plan.gaps().map(|(s, _)| (s.address, s.count)).collect::<Vec<_>>(), [(2, 6)]);
    assert_eq!(cycle(&mut plan, &[9], Cause::IllegalAddress, 1), "0+2 8+1", "nothing is asked twice at once");
    plan.reset_learned();
    assert_eq!(spans(&plan.blocks), "0+10");
}

#[test]
fn what_is_left_out_is_tried_again_after_10_20_40_seconds_up_to_five_minutes_or_an_hour() {
    for (has_answered, most) in [(true, 300), (false, 3_600)] {
        let mut plan = plan(&[point(0, 1), point(100, 1)], &rules());
        if has_answered {
            cycle(&mut plan, &[], Cause::Timeout, 0);
        }
        let mut tries = Vec::new();
        for second in 0..20_000u64 {
            let before = plan.left_out().next();
            cycle(&mut plan, &[100], Cause::Timeout, second * SECOND);
            if plan.left_out().next() != before {
                tries.push(second);
            }
        }
        let pauses: Vec<u64> = tries.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(&pauses[..5], [10, 20, 40, 80, 160], "{has_answered}");
        assert_eq!(pauses.last(), Some(&most), "{has_answered}");
        assert_eq!(plan.left_out().next().map(|(_, l)| l.since), Some(UnixMillis(7)), "since the first time");
    }
}

#[test]
fn what_a_passing_refusal_has_split_grows_together_again() {
    let points: Vec<PointDef> = (0..40).map(|a| point(a, 1)).collect();
    let mut plan = plan(&points, &rules());
    let all: Vec<u16> = (0..40).collect();
    assert_eq!(cycle(&mut plan, &all, Cause::IllegalAddress, 0), "");
    assert_eq!(plan.left_out().count(), 40);
    (1..60u64).for_each(|s| drop(cycle(&mut plan, &[], Cause::IllegalAddress, s * SECOND)));
    assert_eq!(spans(&plan.blocks), "0+40");
    assert_eq!((plan.left_out().count(), plan.closed_cuts()), (0, 0));
}

#[test]
fn it_grows_together_around_what_stays_refused() {
    let points: Vec<PointDef> = (0..40).map(|a| point(a, 1)).collect();
    let mut plan = plan(&points, &rules());
    let all: Vec<u16> = (0..40).collect();
    cycle(&mut plan, &all, Cause::IllegalAddress, 0);
    let mut good = String::new();
    (1..200u64).for_each(|s| good = cycle(&mut plan, &[17], Cause::IllegalAddress, s * SECOND));
    assert_eq!(good, "0+17 18+22");
}

#[test]
fn what_is_tried_again_after_silence_is_tried_alone() {
    let points: Vec<PointDef> = (0..4).map(|a| point(a, 1)).collect();
    let mut plan = plan(&points, &rules());
    cycle(&mut plan, &[3], Cause::Timeout, 0);
    plan.begin(11 * SECOND);
    assert!(plan.blocks.iter().any(|b| b.span.address == 3 && b.span.count == 1), "{}", spans(&plan.blocks));
}

#[test]
fn a_block_over_opened_cuts_that_fails_is_read_as_before() {
    let points: Vec<PointDef> = (0..4).map(|a| point(a, 1)).collect();
    let mut plan = plan(&points, &rules());
    let block = plan.blocks[0];
    plan.split(&block, Cause::Timeout, 0);
    assert_eq!(spans(&plan.blocks), "0+2 2+2");
    plan.begin(10 * SECOND);
    assert_eq!(spans(&plan.blocks), "0+4", "tried together");
    let whole = plan.blocks[0];
    assert_eq!(spans(&plan.close_cuts(&whole, 10 * SECOND)), "0+2 2+2");
    plan.begin(29 * SECOND);
    assert_eq!(spans(&plan.blocks), "0+2 2+2", "20 s this time");
    plan.begin(30 * SECOND);
    assert_eq!(spans(&plan.blocks), "0+4");
}

#[test]
fn no_need_falls_out_when_cuts_are_closed_and_one_that_cannot_be_tried_stands_in_nobodys_way() {
    let points: Vec<PointDef> = (0..9).map(|a| point(a, 1)).collect();
    let mut plan = plan(&points, &ReadRules { max_regs: 6, ..rules() });
    assert_eq!(spans(&plan.blocks), "0+6 6+3");
    let first = plan.blocks[0];
    plan.split(&first, Cause::Timeout, 0);
    plan.begin(10 * SECOND);
    let whole = plan.blocks[0];
    assert_eq!(
        spans(&plan.close_cuts(&whole, 10 * SECOND)),
        "0+3 3+3",
        "what it covered, whatever the next plan joins"
    );
    // Around a need that stays silent the cuts are never crossed; others grow together all the same.
    let mut plan = super::plan(&points, &rules());
    (0..3u64).for_each(|s| drop(cycle(&mut plan, &[2], Cause::Timeout, s * SECOND)));
    let block = plan.blocks[1];
    plan.split(&block, Cause::Timeout, 3 * SECOND);
    (4..200u64).for_each(|s| drop(cycle(&mut plan, &[2], Cause::Timeout, s * SECOND)));
    assert_eq!(cycle(&mut plan, &[2], Cause::Timeout, 200 * SECOND), "0+2 3+6");
}

#[test]
fn a_probe_prefers_what_answered_and_is_never_the_silent_span() {
    let mut plan = plan(&[point(0, 1), point(100, 1), point(200, 2)], &rules());
    let (silent, living) = (plan.blocks[0], plan.blocks[2]);
    let probes: Vec<u16> = (0..3).filter_map(|turn| plan.probe(&[silent.span], turn)).map(|b| b.span.address).collect();
    assert_eq!(probes, [100, 200, 100]);
    plan.note_answer(&living);
    assert!((0..5).all(|turn| plan.probe(&[silent.span], turn) == Some(living)));
    let mut alone = super::plan(&[point(0, 1)], &rules());
    assert_eq!(alone.probe(&[alone.blocks[0].span], 0), None);
    alone.begin(0);
}

#[test]
fn a_value_of_two_registers_is_never_cut() {
    let points: Vec<PointDef> = (0..20).map(|i| point(i * 2, 2)).collect();
    for max_regs in [2, 3, 5, 7, 39] {
        let mut plan = plan(&points, &ReadRules { max_regs, ..rules() });
        for second in 0..300u64 {
            cycle(&mut plan, &[9, 22], Cause::IllegalAddress, second * SECOND);
            for p in &points {
                let holding = plan.blocks.iter().filter(|b| b.span.overlaps(&p.span)).count();
                let whole =
                    plan.blocks.iter().filter(|b| b.span.address <= p.span.address && b.span.end() >= p.span.end());
                assert_eq!(holding, whole.count(), "max_regs {max_regs}, {}", p.name);
            }
        }
    }
}

#[test]
fn wire_time_of_a_serial_read() {
    let line = crate::model::line::SerialParams { baud: 9600, parity: crate::model::line::Parity::None, stop_bits: 1 };
    let bus = wire::BusTiming::Serial { line, turnaround_us: 0 };
    let block = ReadBlock {
        span: RegisterRange { register_type: RegisterType::Holding, address: 0, count: 20 },
        first: 0,
        last: 0,
    };
    // 53 characters of 1041.7 us, and twice 3.5 characters of silence.
    assert_eq!(wire::read_us(bus, &block, 0), 55_209 + 2 * 3_646);
}
