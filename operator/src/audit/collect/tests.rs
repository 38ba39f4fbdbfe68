//! The collector against a scripted gateway, and an operator that dies between any two writes of the archive.

mod gateway;
pub(crate) mod journal;
mod killed;
mod mortal;
