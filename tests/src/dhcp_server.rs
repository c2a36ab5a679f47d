//! A DHCP server for a handful of clients (RFC 2131), on a thread of its own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

const CLIENT_PORT: u16 = 68;
const SERVER_PORT: u16 = 67;
/// Length of the fixed part, up to and with the magic cookie.
const FIXED_LEN: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const RELEASE: u8 = 7;

/// A server that gives each client the next address of its /24, from 100 on. It ends with the test process.
pub struct DhcpServer {
    released: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl DhcpServer {
    /// Serves on an interface of the thread's namespace that has the address `own`.
    ///
    /// # Panics
    /// When it cannot listen.
    pub fn start(interface: &str, own: [u8; 4]) -> Self {
        let socket =
            UdpSocket::bind(("0.0.0.0", SERVER_PORT)).expect("no other DHCP server in this namespace");
        setsockopt(&socket, sockopt::BindToDevice, &interface.into()).expect("the interface exists");
        socket.set_broadcast(true).expect("a socket may broadcast");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket has timeouts");
        let released = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&released);
        thread::spawn(move || serve(&socket, own, &noted));
        Self { released }
    }

    /// The addresses that clients gave back, in their order.
    ///
    /// # Panics
    /// When the server's thread panicked.
    pub fn released(&self) -> Vec<Ipv4Addr> {
        self.released.lock().expect("the server's thread lives").clone()
    }
}

fn serve(socket: &UdpSocket, own: [u8; 4], released: &Mutex<Vec<Ipv4Addr>>) {
    let mut leases: HashMap<[u8; 6], u8> = HashMap::new();
    let mut buffer = [0; 1500];
    while let Ok((length, _)) = socket.recv_from(&mut buffer) {
        let request = &buffer[..length];
        if length < FIXED_LEN || request[236..240] != COOKIE {
            continue;
        }
        let mac: [u8; 6] = request[28..34].try_into().expect("six bytes");
        let answer = match kind(request) {
            DISCOVER => OFFER,
            REQUEST => ACK,
            RELEASE => {
                let address: [u8; 4] = request[12..16].try_into().expect("four bytes");
                released.lock().expect("the test lives").push(address.into());
                continue;
            }
            _ => continue,
        };
        let next = 100 + u8::try_from(leases.len()).expect("a handful of clients");
        let host = *leases.entry(mac).or_insert(next);
        let reply = reply(request, answer, own, host);
        // A client that is gone is not waited for.
        socket.send_to(&reply, (Ipv4Addr::BROADCAST, CLIENT_PORT)).ok();
    }
}

/// The message's type (option 53).
fn kind(request: &[u8]) -> u8 {
    let mut rest = &request[FIXED_LEN..];
    while let [code, length, after @ ..] = rest {
        if *code == 53 {
            return after.first().copied().unwrap_or_default();
        }
        rest = after.get(usize::from(*length)..).unwrap_or_default();
    }
    0
}

fn reply(request: &[u8], kind: u8, own: [u8; 4], host: u8) -> Vec<u8> {
    let mut reply = request[..FIXED_LEN].to_vec();
    reply[0] = 2;
    let [a, b, c, _] = own;
    reply[16..20].copy_from_slice(&[a, b, c, host]);
    reply[20..24].copy_from_slice(&own);
    reply.extend([53, 1, kind]);
    reply.extend([54, 4]);
    reply.extend(own);
    // One hour.
    reply.extend([51, 4, 0, 0, 14, 16]);
    reply.extend([1, 4, 255, 255, 255, 0, 255]);
    reply
}
