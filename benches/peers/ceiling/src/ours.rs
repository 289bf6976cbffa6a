//! The trust engine, in memory and without recording: no peer records its answers. Three contenders: by agent id, by
//! handle, and by agent id with a sliding window.

use trust_engine::blocking::Engine;
use trust_engine::{Options, PolicyDocument, Quota};

use crate::{Ceiling, Contender, Result};

const RESOURCE: &str = "API_CALLS";

struct ById {
    engine: Engine,
    name: &'static str,
    promises: &'static str,
}

/// A fixed window, asked by agent id.
pub fn make(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    let promises = "a most per window that begins at a multiple of its length, to any number of callers; not across the edge";
    Ok(Box::new(ById { engine: engine(ceiling, "FIXED")?, name: "trust-engine, by id", promises }))
}

/// A sliding window, asked by agent id.
pub fn sliding(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    let promises = "a most in any stretch of a window's length, to any number of callers";
    Ok(Box::new(ById {
        engine: engine(ceiling, "SLIDING")?,
        name: "trust-engine, sliding window, by id",
        promises,
    }))
}

/// A fixed window, asked by the handle that a host keeps for each of its agents.
pub fn handles(ceiling: Ceiling) -> Result<Box<dyn Contender>> {
    let engine = engine(ceiling, "FIXED")?;
    let handle = |n| engine.quota(&format!("agent_{n:06}"));
    Ok(Box::new(ByHandle((0..ceiling.keys).map(handle).collect::<Result<_, _>>()?)))
}

fn engine(ceiling: Ceiling, window: &str) -> Result<Engine> {
    let Ceiling { limit, seconds, keys } = ceiling;
    let policy = format!(
        "policyFormat: 1\nname: peers\ntiers: [{{name: BASIC}}]\nroles: [{{name: READER, minimumTier: BASIC}}]\n\
         defaultEffect: DENY\nresources: [{RESOURCE}]\nrecording:\n  ceilings: {{mode: NONE}}\nceilings:\n  agent:\n    \
         - {{tier: BASIC, resource: {RESOURCE}, limit: {limit}, windowSeconds: {seconds}, window: {window}}}\n"
    );
    let options = Options::memory().policy(PolicyDocument::parse(&policy)?);
    Ok(Engine::open(options.cached_agents(2 * usize::try_from(keys)?))?)
}

impl Contender for ById {
    fn name(&self) -> &'static str {
        self.name
    }

    fn check(&self, key: &str, amount: u64) -> bool {
        self.engine.quotas().try_take(key, RESOURCE, amount).is_ok_and(|verdict| verdict.allowed())
    }

    fn promises(&self) -> &'static str {
        self.promises
    }
}

struct ByHandle(Vec<Quota>);

impl Contender for ByHandle {
    fn name(&self) -> &'static str {
        "trust-engine, by handle"
    }

    fn check(&self, key: &str, amount: u64) -> bool {
        // The number in the key stands for the handle that a host would have in its hand.
        let number = key.bytes().filter(u8::is_ascii_digit);
        let number = number.fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
        let quota = self.0.get(number);
        quota.is_some_and(|quota| quota.try_take(RESOURCE, amount).is_ok_and(|verdict| verdict.allowed()))
    }

    fn promises(&self) -> &'static str {
        "as by id"
    }
}
