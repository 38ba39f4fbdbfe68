//! A device that says back what it is told, on every connection: `echo_device ADDRESS`.

#![allow(clippy::expect_used, reason = "a program for tests; a panic is its report")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

fn main() {
    let address = std::env::args().nth(1).expect("ADDRESS");
    let listener = TcpListener::bind(&address).expect("the address");
    for stream in listener.incoming().flatten() {
        std::thread::spawn(|| echo(stream));
    }
}

fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}
