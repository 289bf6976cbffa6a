//! Calls of the C interface in any order, with any texts, sizes and handles, wrong ones among them: each is answered or refused,
//! nothing panics, and outputs are written only where the result is `TE_OK`.

#![no_main]

use std::ptr::{null, null_mut};
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trust_engine_c::te_code::{TE_END, TE_OK, TE_PANIC, TE_POISONED};
use trust_engine_c::*;

#[derive(Arbitrary, Debug)]
struct Text(Option<Vec<u8>>);

impl Text {
    fn str(&self) -> te_str {
        match &self.0 {
            None => te_str { ptr: null(), len: 0 },
            Some(bytes) => te_str { ptr: bytes.as_ptr().cast(), len: bytes.len() },
        }
    }
}

/// A handle: the right one, null, or one of another kind.
#[derive(Arbitrary, Debug, Clone, Copy)]
enum Of {
    Right,
    Null,
    Other,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Gate { engine: Of, verdict: Of, size: Option<u16>, texts: [Text; 11], wait: bool },
    Ceiling { engine: Of, verdict: Of, agent: Text, demands: Vec<(Text, u64)>, count: Option<u8>, texts: [Text; 6], now: bool },
    Take { quota: Of, verdict: Of, resource: Text, amount: u64 },
    Reserve { agent: Text, resource: Text, amount: u64, used: Vec<u64>, void: bool },
    Record { engine: Of, size: Option<u16>, kind: u8, texts: [Text; 11] },
    Call { engine: Of, caller: Of, name: u8, texts: [Text; 6] },
    Caller(Text),
    Open(Text),
    Subscribe { name: Text, parameters: Text },
    Verify { entry: Text, proof: Text, key: Text },
    Payload { entry: Text, payload: Text, salt: Text },
    Consistency { older: Text, newer: Text, proof: Text },
    Committed { verdict: Of },
}

struct Handles {
    engine: *mut te_engine,
    quota: *mut te_quota,
    caller: *mut te_caller,
}

// The handles may be shared.
unsafe impl Sync for Handles {}
unsafe impl Send for Handles {}

const KEY: te_str = str("fuzz/prov/0+00000000+AXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX");
/// Calls that write files of the host's are not made with any folder.
const LEFT_OUT: [&str; 2] = ["engine.backup", "log.export"];

const fn str(text: &'static str) -> te_str {
    te_str { ptr: text.as_ptr().cast(), len: text.len() }
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| unsafe {
    let mut handles = Handles { engine: null_mut(), quota: null_mut(), caller: null_mut() };
    assert_eq!(te_engine_open(str(r#"{"storage":{"memory":true}}"#), &mut handles.engine, null_mut()), TE_OK);
    assert_eq!(
        te_engine_quota(handles.engine, str("a"), str(""), &mut handles.quota, null_mut()),
        te_code::TE_INVALID_INPUT
    );
    assert_eq!(
        te_engine_quota(handles.engine, str("a"), te_str { ptr: null(), len: 0 }, &mut handles.quota, null_mut()),
        TE_OK
    );
    assert_eq!(te_caller_new(str(r#"{"name":"fuzz"}"#), &mut handles.caller, null_mut()), TE_OK);
    handles
});

impl Of {
    fn of<T>(self, right: *mut T) -> *mut T {
        match self {
            Self::Right => right,
            Self::Null => null_mut(),
            // One of the two is of another kind.
            Self::Other if right.cast() == HANDLES.caller => HANDLES.engine.cast(),
            Self::Other => HANDLES.caller.cast(),
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let (mut gates, mut ceilings) = (null_mut(), null_mut());
    unsafe {
        assert_eq!(te_gate_verdict_new(&mut gates, null_mut()), TE_OK);
        assert_eq!(te_ceiling_verdict_new(&mut ceilings, null_mut()), TE_OK);
        for step in steps.iter().take(16) {
            let code = run(step, gates, ceilings);
            assert!(code != TE_PANIC && code != TE_POISONED, "{step:?}");
            // Whatever was written can be read.
            let read = [te_gate_verdict_reason(gates), te_gate_verdict_trace(gates), te_gate_verdict_json(gates)];
            let more = [te_ceiling_verdict_reason(ceilings), te_ceiling_verdict_json(ceilings)];
            for text in read.iter().chain(&more).filter(|text| !text.ptr.is_null()) {
                let bytes = std::slice::from_raw_parts(text.ptr.cast::<u8>(), text.len);
                assert!(std::str::from_utf8(bytes).is_ok());
            }
        }
        te_gate_verdict_free(gates);
        te_ceiling_verdict_free(ceilings);
    }
});

unsafe fn run(step: &Step, gates: *mut te_gate_verdict, ceilings: *mut te_ceiling_verdict) -> te_code {
    let mut error: te_error = unsafe { std::mem::zeroed() };
    error.size = size_of::<te_error>();
    let handles = &*HANDLES;
    unsafe {
        let code = match step {
            Step::Gate { engine, verdict, size, texts, wait } => {
                let [agent_id, role, tier, organization, caller, on_behalf_of, traceparent, resource_id, action, environment, metadata] =
                    texts.each_ref().map(Text::str);
                let size = size.map_or(size_of::<te_gate_request>(), |size| usize::from(size).min(size_of::<te_gate_request>()));
                let request = te_gate_request {
                    size, agent_id, role, tier, organization, caller, on_behalf_of, traceparent, resource_id, action, environment,
                    metadata,
                };
                let call = if *wait { te_engine_evaluate_gate } else { te_engine_decide_gate };
                call(engine.of(handles.engine), &request, verdict.of(gates), &mut error)
            }
            Step::Ceiling { engine, verdict, agent, demands, count, texts, now } => {
                let demands: Vec<te_demand> = demands
                    .iter()
                    .map(|(resource, amount)| te_demand { resource_type: resource.str(), requested_amount: *amount })
                    .collect();
                // No more than there are: a longer list cannot be told from a right one.
                let demand_count = count.map_or(demands.len(), |count| usize::from(count).min(demands.len()));
                let [tier, organization, caller, on_behalf_of, traceparent, request_id] = texts.each_ref().map(Text::str);
                let request = te_ceiling_request {
                    size: size_of::<te_ceiling_request>(),
                    agent_id: agent.str(),
                    demands: demands.as_ptr(),
                    demand_count,
                    tier, organization, caller, on_behalf_of, traceparent, request_id,
                };
                let call = if *now { te_engine_check_ceiling_now } else { te_engine_check_ceiling };
                call(engine.of(handles.engine), &request, verdict.of(ceilings), &mut error)
            }
            Step::Take { quota, verdict, resource, amount } => {
                te_quota_try_take(quota.of(handles.quota), resource.str(), *amount, verdict.of(ceilings), &mut error)
            }
            Step::Reserve { agent, resource, amount, used, void } => {
                let demand = te_demand { resource_type: resource.str(), requested_amount: *amount };
                let none = te_str { ptr: null(), len: 0 };
                let request = te_ceiling_request {
                    size: size_of::<te_ceiling_request>(),
                    agent_id: agent.str(),
                    demands: &demand,
                    demand_count: 1,
                    tier: none, organization: none, caller: none, on_behalf_of: none, traceparent: none, request_id: none,
                };
                let mut reservation = null_mut();
                let code = te_engine_reserve(handles.engine, &request, ceilings, &mut reservation, &mut error);
                if !reservation.is_null() {
                    let settled = if *void {
                        te_reservation_void(reservation, null_mut(), &mut error)
                    } else {
                        te_reservation_commit(reservation, used.as_ptr(), used.len(), null_mut(), &mut error)
                    };
                    assert!(settled != TE_PANIC);
                    te_reservation_free(reservation);
                }
                return code;
            }
            Step::Record { engine, size, kind, texts } => {
                let [agent_id, decision, id, reason_code, reason, context, parent_id, organization, caller, on_behalf_of, traceparent] =
                    texts.each_ref().map(Text::str);
                let kinds = ["ALERT", "ROLE_GATE", "CEILING", "ESCALATION", "POLICY", ""];
                let record = te_new_record {
                    size: size.map_or(size_of::<te_new_record>(), |size| usize::from(size).min(size_of::<te_new_record>())),
                    kind: str(kinds[usize::from(*kind) % kinds.len()]),
                    agent_id, decision, id, reason_code, reason, context, parent_id, organization, caller, on_behalf_of, traceparent,
                };
                let mut receipt = null_mut();
                let code = te_engine_record(engine.of(handles.engine), &record, &mut receipt, &mut error);
                assert_eq!(receipt.is_null(), code != TE_OK);
                te_receipt_free(receipt);
                code
            }
            Step::Call { engine, caller, name, texts } => {
                let names: Vec<&str> = trust_engine::json::CALLS
                    .iter()
                    .map(|call| call.name)
                    .filter(|name| !LEFT_OUT.contains(name))
                    .collect();
                let [parameters, body, if_match, idempotency_key, request_id, traceparent] = texts.each_ref().map(Text::str);
                let call = te_call {
                    size: size_of::<te_call>(),
                    name: str(names[usize::from(*name) % names.len()]),
                    parameters, body, if_match, idempotency_key, request_id, traceparent,
                };
                let mut answer = null_mut();
                let code = te_engine_call(engine.of(handles.engine), caller.of(handles.caller), &call, &mut answer, &mut error);
                assert_eq!(answer.is_null(), code != TE_OK);
                assert_eq!(te_answer_status(answer) == 0, code != TE_OK);
                te_answer_free(answer);
                code
            }
            Step::Caller(text) => {
                let mut caller = null_mut();
                let code = te_caller_new(text.str(), &mut caller, &mut error);
                te_caller_free(caller);
                code
            }
            Step::Open(text) => {
                // Stores outside of the process are not opened by chance.
                if text.0.as_ref().is_some_and(|text| text.windows(7).any(|part| part == b"storage")) {
                    return TE_OK;
                }
                let mut engine = null_mut();
                let code = te_engine_open(text.str(), &mut engine, &mut error);
                te_engine_free(engine);
                code
            }
            Step::Subscribe { name, parameters } => {
                let mut subscription = null_mut();
                let code =
                    te_engine_subscribe(handles.engine, te_caller_host(), name.str(), parameters.str(), &mut subscription, &mut error);
                te_subscription_end(subscription, null_mut());
                let mut item = te_str { ptr: null(), len: 0 };
                assert!(code != TE_OK || te_subscription_next(subscription, &mut item, null_mut()) == TE_END);
                te_subscription_free(subscription);
                code
            }
            Step::Verify { entry, proof, key } => te_verify_record(entry.str(), proof.str(), key.str(), &mut error),
            Step::Payload { entry, payload, salt } => {
                te_verify_payload(entry.str(), payload.str(), salt.str(), &mut error)
            }
            Step::Consistency { older, newer, proof } => {
                te_verify_consistency(older.str(), newer.str(), proof.str(), KEY, &mut error)
            }
            Step::Committed { verdict } => {
                let mut receipt = null_mut();
                let code = te_gate_verdict_committed(verdict.of(gates), &mut receipt, &mut error);
                te_receipt_free(receipt);
                code
            }
        };
        assert!(code == TE_OK || error.code == code && error.message[0] != 0, "{step:?}: {code:?}");
        code
    }
}
