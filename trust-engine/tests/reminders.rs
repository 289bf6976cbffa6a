#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "throw-away")]
#[path = "support/postgres.rs"]
mod support;
use pollster::block_on;
use trust_engine::{Engine, Options, OrganizationId, Reminder, Timestamp};

fn run(options: Options) {
    let engine = block_on(Engine::open(options)).unwrap();
    let reminders = engine.reminders(OrganizationId::default());
    let at = |n: i64| Timestamp::from_micros(n);
    for n in 0..25 {
        let reminder = Reminder { text: format!("{n}"), owner: (if n % 2 == 0 { "ann" } else { "bo" }).into() };
        block_on(reminders.put(&format!("r{n}"), &reminder, Some(at(n)))).unwrap();
    }
    let first = block_on(reminders.page("ann", None, 10)).unwrap();
    let rest = block_on(reminders.page("ann", first.rest.as_ref(), 10)).unwrap();
    assert_eq!((first.documents.len(), rest.documents.len(), rest.rest.is_none()), (10, 3, true));
    assert_eq!(block_on(reminders.due(at(4))).unwrap().len(), 5);
    block_on(reminders.put("r0", &Reminder { text: "x".into(), owner: "bo".into() }, None)).unwrap();
    block_on(reminders.remove("r1")).unwrap();
    assert_eq!(block_on(reminders.due(at(4))).unwrap().len(), 3);
    assert!(block_on(engine.log().verify_all()).unwrap().iter().all(trust_engine::log::Report::is_clean));
    block_on(engine.close());
}

#[test]
fn on_every_store() {
    run(Options::memory());
    run(Options::embedded(tempfile::tempdir().unwrap().path().join("s")));
    let schema = support::Schema::new();
    run(schema.options());
}
