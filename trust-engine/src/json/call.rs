//! A call of the table, by its name.

use super::answer::Answer;
use super::calls::JsonCalls;
use super::parameters::Values;
use super::table::{CALLS, Call};
use crate::error::{Error, ErrorKind, Result};

impl JsonCalls<'_> {
    /// Makes a call of the [table](CALLS). `parameters` is an object of JSON with the values of the row's parameters, or
    /// empty; values may be strings, as they stand in a query string. Preconditions are set before, with
    /// [`if_match`](Self::if_match) and [`idempotency_key`](Self::idempotency_key).
    ///
    /// ```
    /// # pollster::block_on(async {
    /// use trust_engine::{Engine, Options, json::Caller};
    ///
    /// let engine = Engine::open(Options::memory()).await?;
    /// let caller = Caller::new().named("console")?;
    /// let put = engine.json(&caller).call("agents.put", br#"{"agentId":"agent_001"}"#, br#"{"tier":"VERIFIED"}"#).await;
    /// assert_eq!((put.status, put.etag.as_deref()), (201, Some("\"1\"")));
    /// let page = engine.json(&caller).call("agents.list", br#"{"tier":"VERIFIED"}"#, b"").await;
    /// assert!(page.body.contains("agent_001"));
    /// # Ok::<(), trust_engine::Error>(())
    /// # }).unwrap();
    /// ```
    pub async fn call(&self, name: &str, parameters: &[u8], body: &[u8]) -> Answer {
        let called = self.try_call(name, parameters, body).await;
        called.unwrap_or_else(|error| Answer::of_error(&error, self.request_id))
    }

    async fn try_call(&self, name: &str, parameters: &[u8], body: &[u8]) -> Result<Answer> {
        let call = find(name)?;
        self.caller.check(call.permission)?;
        if self.if_match.is_some() && !call.if_match {
            return Err(Error::invalid("If-Match", "is given, and this call does not take it"));
        }
        let values = Values::read(call.parameters, parameters)?;
        if body.len() > call.max_body {
            let issue = match call.max_body {
                0 => "is given, and this call takes none".to_owned(),
                most => format!("has {} bytes; at most {most} are allowed", body.len()),
            };
            return Err(Error::invalid("body", issue));
        }
        (call.run)(*self, values, body).await
    }
}

fn find(name: &str) -> Result<&'static Call> {
    let missing = || Error::new(ErrorKind::NotFound, format!("there is no call {name:?}"));
    CALLS.iter().find(|call| call.name == name).ok_or_else(missing)
}
