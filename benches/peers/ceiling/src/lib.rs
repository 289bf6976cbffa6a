//! In-process quota libraries behind one trait: may this agent use this much more in this window?
//!
//! One file per peer, each in the form that comes closest to a ceiling, and [`naive`], a control that is wrong on
//! purpose.

pub mod governor;
pub mod limitador;
pub mod limitador_reserve;
pub mod naive;
pub mod ours;
pub mod throttlecrab;

/// A result of making a contender, with any error.
pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The task of every contender: each key may use so much in a window.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// The most that one key may use in one window.
    pub limit: u32,
    /// The length of a window, in seconds.
    pub seconds: u32,
    /// The most keys there will be; for those that want to know their size beforehand.
    pub keys: u32,
}

/// Something that says yes or no, and counts the use when it says yes.
pub trait Contender: Send + Sync {
    /// Library and version.
    fn name(&self) -> &'static str;

    /// Whether `key` may use `amount` more; if so, it is used from now on. A check that cannot be decided is refused.
    fn check(&self, key: &str, amount: u64) -> bool;

    /// The limits that it holds to, and those that it does not, in a few words.
    fn promises(&self) -> &'static str;
}

/// Makes a contender in which nothing is used yet.
pub type Make = fn(Ceiling) -> Result<Box<dyn Contender>>;

/// All of them, in the order of the tables.
pub const ALL: &[Make] = &[
    ours::handles,
    ours::make,
    ours::sliding,
    governor::make,
    throttlecrab::make,
    limitador::make,
    limitador_reserve::make,
    naive::make,
];
