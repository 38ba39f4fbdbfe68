//! The control stream's messages and their conversion to what they mean.
//!
//! [`wire`] is generated from `proto/control.proto`. [`convert`] turns a message into a
//! [`sallyport_core::config::Change`] or refuses it by naming the field: what a gateway holds is parsed, never text.

pub mod convert;
pub mod digest;
pub mod update;

/// The generated messages, client and server.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, reason = "generated")]
pub mod wire {
    tonic::include_proto!("sallyport.control.v1alpha1");
}
