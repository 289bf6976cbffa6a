//! Rego on regorus: an `else` chain is first match in order. Compiled to a program of its virtual machine (RVM).

use std::fmt::Write as _;
use std::sync::Arc;

use regorus::languages::rego::compiler::Compiler;
use regorus::rvm::RegoVM;
use regorus::{Engine, Rc, Value};
use serde_json::json;
use trust_engine::Decision;

use crate::Result;
use crate::model::{Ask, Case, GatePolicy, GateRule, Glob};

const ENTRY: &str = "data.gate.decision";
/// Most links of one chain.
const LINKS: usize = 8;

/// A virtual machine with one policy loaded.
pub struct Rego {
    vm: RegoVM,
}

impl std::fmt::Debug for Rego {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rego").finish_non_exhaustive()
    }
}

impl Rego {
    /// Translates and compiles the policy; the roles' minimum tiers are its data.
    pub fn new(policy: &GatePolicy) -> Result<Self> {
        let minimum: serde_json::Map<_, _> =
            policy.roles.iter().map(|role| (role.name.clone(), json!(role.minimum))).collect();
        let data = Value::from_json_str(&json!({"minimum": minimum}).to_string())?;
        let mut engine = Engine::new();
        engine.add_policy("gate.rego".into(), text(policy))?;
        engine.add_data(data.clone())?;
        let compiled = engine.compile_with_entrypoint(&Rc::from(ENTRY))?;
        let program: Arc<_> = Compiler::compile_from_policy(&compiled, &[ENTRY])?;
        let mut vm = RegoVM::new_with_policy(compiled);
        vm.load_program(program);
        // The default stops a chain of a thousand rules.
        vm.set_max_instructions(10_000_000);
        vm.set_data(data)?;
        Ok(Self { vm })
    }

    /// Decides; the whole verdict, not only whether it is ALLOW.
    pub fn decide(&mut self, request: &Value) -> Result<Decision> {
        self.vm.set_input(request.clone());
        match self.vm.execute_entry_point_by_index(0)?.as_string()?.as_ref() {
            "ALLOW" => Ok(Decision::Allow),
            "ESCALATE" => Ok(Decision::Escalate),
            "DENY" => Ok(Decision::Deny),
            other => Err(format!("no decision: {other}").into()),
        }
    }
}

/// The requests of a case, in its order. Absent fields are left out, and so are undefined.
pub fn requests(case: &Case) -> Result<Vec<Value>> {
    case.asks.iter().map(|ask| request(case, ask)).collect()
}

fn request(case: &Case, ask: &Ask) -> Result<Value> {
    let agent = case.agents.get(ask.agent).ok_or("no such agent")?;
    // An object, so that a look-up finds an attestation.
    let held: serde_json::Map<_, _> =
        agent.attestations.iter().map(|name| (name.clone(), json!(true))).collect();
    let mut input = json!({"tier": agent.tier, "attestations": held, "role": ask.role});
    let optional = [("action", &ask.action), ("resource", &ask.resource), ("environment", &ask.environment)];
    if let Some(fields) = input.as_object_mut() {
        for (name, value) in optional {
            if let Some(value) = value {
                fields.insert(name.into(), json!(value));
            }
        }
    }
    Ok(Value::from_json_str(&input.to_string())?)
}

/// The policy in Rego: the kernel, then the rules in order, then the default.
pub fn text(policy: &GatePolicy) -> String {
    let mut out = String::from(
        "package gate\nimport rego.v1\n\npermitted if input.tier >= data.minimum[input.role]\n\n",
    );
    let mut chain: Vec<(String, String)> = Vec::new();
    for rule in &policy.rules {
        chain.extend(bodies(rule).into_iter().map(|body| (quoted(rule.effect.as_str()), body)));
    }
    // The compiler has 255 registers for one rule, so a long chain is a chain of chains.
    let mut level = 0;
    while chain.len() > LINKS {
        let parts = chain.chunks(LINKS).enumerate().map(|(at, links)| {
            let name = format!("part_{level}_{at}");
            write_chain(&mut out, &name, links);
            // Not `verdict := part`: in RVM 0.14.1 an undefined part would end the chain instead of this link.
            (name.clone(), name)
        });
        chain = parts.collect();
        level += 1;
    }
    chain.insert(0, (quoted("DENY"), "not permitted".into()));
    chain.push((quoted(policy.default.as_str()), "true".into()));
    write_chain(&mut out, "decision", &chain);
    out
}

/// The first link whose body holds gives the value.
fn write_chain(out: &mut String, name: &str, links: &[(String, String)]) {
    for (at, (value, body)) in links.iter().enumerate() {
        let start = if at == 0 { name } else { "else" };
        let _ = writeln!(out, "{start} := {value} if {{ {body} }}");
    }
    out.push('\n');
}

/// One body per glob: an `else` with the same value means "or".
fn bodies(rule: &GateRule) -> Vec<String> {
    let mut common = Vec::new();
    for (name, list) in
        [("action", &rule.actions), ("role", &rule.roles), ("environment", &rule.environments)]
    {
        common.extend(list.as_ref().map(|list| any_of(name, list.iter().map(|one| quoted(one)).collect())));
    }
    common
        .extend(rule.tiers.as_ref().map(|list| any_of("tier", list.iter().map(usize::to_string).collect())));
    for name in rule.attestations.iter().flatten() {
        common.push(format!("input.attestations[{}]", quoted(name)));
    }
    let Some(globs) = &rule.resources else {
        return vec![if common.is_empty() { "true".into() } else { common.join("; ") }];
    };
    globs
        .iter()
        .map(|glob| common.iter().cloned().chain(matches(glob)).collect::<Vec<_>>().join("; "))
        .collect()
}

fn any_of(name: &str, values: Vec<String>) -> String {
    match values.as_slice() {
        [one] => format!("input.{name} == {one}"),
        _ => format!("input.{name} in {{{}}}", values.join(", ")),
    }
}

fn matches(glob: &Glob) -> Vec<String> {
    match glob {
        Glob::Exact(text) => vec![format!("input.resource == {}", quoted(text))],
        Glob::Prefix(start) => vec![format!("startswith(input.resource, {})", quoted(start))],
        Glob::Between(start, end) => vec![
            format!("startswith(input.resource, {})", quoted(start)),
            format!("endswith(input.resource, {})", quoted(end)),
            // Start and end must not share characters.
            format!("count(input.resource) >= {}", start.chars().count() + end.chars().count()),
        ],
    }
}

fn quoted(text: &str) -> String {
    json!(text).to_string()
}
