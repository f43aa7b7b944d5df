use super::*;

fn row(key: &str, at: i64) -> EventRow {
    EventRow {
        id: 0,
        room: "alarm".into(),
        key: key.into(),
        event: "raised".into(),
        at: UnixMillis(at),
        trusted: at > 0,
        mono: MonotonicMillis(5_000),
        actor: "wang".into(),
        via: "link".into(),
        note: String::new(),
        body: "{}".into(),
    }
}

fn wait(answer: oneshot::Receiver<Result<(), StoreError>>) -> Result<(), StoreError> {
    answer.blocking_recv().expect("the thread answers")
}

#[test]
fn what_waits_for_a_disk_that_hangs_is_bounded() {
    let dir = std::env::temp_dir().join(format!("plantroom-bound-{}", std::process::id()));
    let _earlier = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("store.db");
    let (store, _) = Store::open(&path, "boot").unwrap();
    wait(store.commit(Batch::default())).unwrap();
    // Another connection holds the lock: nothing can be written meanwhile.
    let holds = Connection::open(&path).unwrap();
    holds.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batch = |n| Batch { rows: vec![row("a", n)], keep: Vec::new() };
    let answers: Vec<_> = (0..1_200).map(|n| store.commit(batch(n))).collect();
    let (mut refused, mut waiting) = (0, Vec::new());
    for mut answer in answers {
        match answer.try_recv() {
            Ok(Err(StoreError::QueueFull)) => refused += 1,
            Err(oneshot::error::TryRecvError::Empty) => waiting.push(answer),
            other => panic!("{other:?}"),
        }
    }
    // The thread has taken one or two jobs from the queue already.
    assert!((170..=176).contains(&refused), "{refused}");
    holds.execute_batch("ROLLBACK").unwrap();
    let written = waiting.into_iter().flat_map(wait).count();
    assert!(written > 1_000, "{written}");
    wait(store.commit(batch(0))).unwrap();
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn it_opens_whatever_is_unreadable() {
    let dir = std::env::temp_dir().join(format!("plantroom-store-bits-{}", std::process::id()));
    let _earlier = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("store.db");
    let (store, _) = Store::open(&path, "boot").unwrap();
    wait(store.commit(Batch { rows: vec![row("a", 100)], keep: Vec::new() })).unwrap();
    drop(store);
    let folded = Connection::open(&path).unwrap();
    // The store's thread may not have ended yet.
    let is_busy = || folded.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get::<_, i64>(0)).unwrap() > 0;
    while is_busy() {
        std::thread::yield_now();
    }
    drop(folded);
    let good = std::fs::read(&path).unwrap();
    let mut bits: Vec<(usize, u8)> = (0..100).map(|byte| (byte, 1 << (byte % 8))).collect();
    bits.extend((60..64).flat_map(|byte| (0..8).map(move |bit| (byte, 1 << bit))));
    let flipped = bits.iter().map(|(byte, bit)| {
        let mut bad = good.clone();
        bad[*byte] ^= bit;
        bad
    });
    for (n, bad) in flipped.chain([Vec::new(), good[..good.len() / 2].to_vec()]).enumerate() {
        // A separate file per case, since the thread of the previous case may still be running.
        let path = dir.join(format!("case-{n}.db"));
        std::fs::write(&path, &bad).unwrap();
        let (store, said) = Store::open(&path, "boot").unwrap();
        wait(store.commit(Batch { rows: vec![row("b", 200)], keep: Vec::new() })).unwrap();
        let rows = store.events(&EventQuery { room: "alarm".into(), ..EventQuery::default() }).unwrap();
        let is_all_there = rows.len() == 2;
        let turned: Vec<usize> = (0..bad.len()).filter(|i| bad[*i] != good[*i]).collect();
        assert!(
            is_all_there || said.is_some() || bad.is_empty(),
            "{turned:?} of {}: what is put aside is said",
            bad.len()
        );
        assert_eq!(rows.last().map(|r| r.key.as_str()), Some("b"));
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn events_and_state_are_written_together_and_a_damaged_file_is_put_beside() {
    let dir = std::env::temp_dir().join(format!("plantroom-store-{}", std::process::id()));
    let _earlier = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("store.db");
    let (store, said) = Store::open(&path, "boot").unwrap();
    assert_eq!(said, None);
    let kept = |key: &str, bytes: Option<&[u8]>| Keep {
        room: "alarm",
        key: key.to_string(),
        format: 3,
        bytes: bytes.map(<[u8]>::to_vec),
    };
    let keep = vec![kept("a", Some(b"1")), kept("b", Some(b"2"))];
    wait(store.commit(Batch { rows: vec![row("a", 100), row("b", -1)], keep })).unwrap();
    wait(store.commit(Batch { rows: vec![], keep: vec![kept("b", None)] })).unwrap();
    assert_eq!(store.load_state("alarm").unwrap(), Kept::from([("a".to_string(), (3, b"1".to_vec()))]));
    store.set_date(UnixMillis(1_000_000), MonotonicMillis(6_000));
    wait(store.commit(Batch::default())).unwrap();
    let of =
        |query: EventQuery| store.events(&query).unwrap().iter().map(|r| (r.key.clone(), r.at.0)).collect::<Vec<_>>();
    let all = || EventQuery { room: "alarm".into(), ..EventQuery::default() };
    assert_eq!(of(all()), [("a".to_string(), 100), ("b".to_string(), 999_000)], "dated when the date was known");
    assert_eq!(of(EventQuery { limit: Some(1), ..all() }).len(), 1);
    assert_eq!(of(EventQuery { key: Some("a".into()), ..all() }).len(), 1);
    assert_eq!(of(EventQuery { from: Some(UnixMillis(101)), ..all() }).len(), 1);
    copy(&path, &dir.join("copy.db")).unwrap();
    verify(&dir.join("copy.db")).unwrap();
    store.prune(UnixMillis(500));
    wait(store.commit(Batch::default())).unwrap();
    assert_eq!(of(all()).len(), 1);
    store.close().blocking_recv().unwrap();
    std::fs::write(&path, b"this is no database, and long enough to be looked at by SQLite as one").unwrap();
    assert!(verify(&path).is_err());
    let (store, said) = Store::open(&path, "boot").unwrap();
    assert!(said.unwrap().contains("damaged"));
    assert!(store.load_state("alarm").unwrap().is_empty());
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn a_store_of_format_1_is_migrated_with_a_copy_kept() {
    let dir = std::env::temp_dir().join(format!("plantroom-migrate-{}", std::process::id()));
    let _earlier = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("store.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        r#"CREATE TABLE event(id INTEGER PRIMARY KEY, room TEXT NOT NULL, key TEXT NOT NULL, what TEXT NOT NULL,
            at INTEGER NOT NULL, trusted INTEGER NOT NULL, boot TEXT NOT NULL, mono INTEGER NOT NULL, body TEXT NOT NULL);
         CREATE INDEX event_key ON event(room, key, id);
         CREATE INDEX event_at ON event(room, at);
         CREATE TABLE keep(room TEXT NOT NULL, key TEXT NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY(room, key)) WITHOUT ROWID;
         INSERT INTO event VALUES(1, 'alarm', 'a.d', 'acknowledged', 100, 1, 'b', 5, '{"by":"wang","note":"on my way"}');
         INSERT INTO event VALUES(2, 'alarm', 'a.d', 'cleared', 200, 1, 'b', 6, '{}');
         INSERT INTO keep VALUES('engine', 'snapshot', CAST('{"format":1,"derive":{"d.h":{"run_ms":7,"starts":1}},"alarm":{}}' AS BLOB));
         INSERT INTO keep VALUES('alarm', 'a.d', CAST('{}' AS BLOB));
         PRAGMA user_version = 1;"#,
    )
    .unwrap();
    drop(old);
    let rows = |path: &Path| {
        let rows = events(path, &EventQuery::default()).unwrap();
        rows.into_iter().map(|r| [r.event, r.actor, r.via, r.note]).collect::<Vec<_>>()
    };
    // A stopped gateway of the earlier version is read as it is.
    assert_eq!(rows(&path), [["acknowledged", "", "", ""], ["cleared", "", "", ""]]);
    verify(&path).unwrap();
    let (store, said) = Store::open(&path, "boot").unwrap();
    assert_eq!(said, None);
    assert_eq!(rows(&path), [["acknowledged", "wang", "", "on my way"], ["cleared", "", "", ""]]);
    let derive = store.load_state("derive").unwrap().remove("snapshot").unwrap();
    assert_eq!((derive.0, derive.1), (1, br#"{"d.h":{"run_ms":7,"starts":1}}"#.to_vec()));
    assert!(store.load_state("engine").unwrap().is_empty());
    assert_eq!(store.load_state("alarm").unwrap()["a.d"], (1, b"{}".to_vec()));
    assert_eq!(
        rows(&dir.join("store.db.format-1"))[0],
        ["acknowledged", "", "", ""],
        "the copy is of the earlier format"
    );
    std::fs::remove_dir_all(&dir).unwrap();
}
