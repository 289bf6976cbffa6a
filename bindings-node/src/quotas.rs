//! Handles on quotas, and reservations.

use std::cell::RefCell;
use std::rc::Rc;

use napi_derive::napi;
use trust_engine::{Error, ErrorKind, Quota, Reservation};

use crate::error::failed;
use crate::input::amount;
use crate::output::{self, Value};
use crate::tasks::Tasks;

/// The quota of one agent.
#[napi]
pub struct NativeQuota {
    quota: Quota,
}

impl NativeQuota {
    pub(crate) fn new(quota: Quota) -> Self {
        Self { quota }
    }
}

#[napi]
impl NativeQuota {
    /// A ceiling's verdict at once, as text.
    #[napi(catch_unwind)]
    pub fn try_take(&self, resource: String, requested: f64) -> Value {
        let taken = amount(requested).and_then(|amount| self.quota.try_take(&resource, amount));
        taken.map_or_else(failed, |verdict| output::ceiling(&verdict))
    }
}

/// Amounts that are charged and may turn out not to be needed.
#[napi]
pub struct NativeReservation {
    tasks: Rc<Tasks>,
    /// Empty before it is made, where it was refused, and while it is being settled.
    reservation: Rc<RefCell<Option<Reservation>>>,
}

impl NativeReservation {
    pub(crate) fn new(tasks: Rc<Tasks>) -> Self {
        Self { tasks, reservation: Rc::default() }
    }

    pub(crate) fn place(&self) -> Rc<RefCell<Option<Reservation>>> {
        Rc::clone(&self.reservation)
    }
}

#[napi]
impl NativeReservation {
    /// Whether there is one.
    #[napi(getter, catch_unwind)]
    pub fn is_there(&self) -> bool {
        self.reservation.borrow().is_some()
    }

    /// Says how much was used of each resource, or of none without a list. JSON of the receipt, or of null.
    #[napi(catch_unwind)]
    pub fn settle(&self, slot: u32, used: Option<Vec<f64>>) -> Option<Value> {
        let Some(mut reservation) = self.reservation.take() else {
            return Some(failed(Error::new(ErrorKind::Conflict, "the reservation is being settled")));
        };
        let place = Rc::clone(&self.reservation);
        self.tasks.start(slot, async move {
            let settled = match used {
                None => reservation.void().await,
                Some(used) => match used.into_iter().map(used_amount).collect::<Result<Vec<u64>, Error>>() {
                    Ok(used) => reservation.commit(&used).await,
                    Err(error) => Err(error),
                },
            };
            place.replace(Some(reservation));
            settled.map_or_else(failed, |receipt| {
                Value::A(receipt.map_or_else(|| "null".into(), |receipt| receipt.to_json()))
            })
        })
    }
}

/// An amount that was used, which may be 0.
fn used_amount(used: f64) -> Result<u64, Error> {
    if used == 0.0 { Ok(0) } else { amount(used).map_err(|error| Error::invalid("used", error.message())) }
}
