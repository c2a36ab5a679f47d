//! Services that answer with their name and the source that they see, and clients that ask them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use tests::Pod;

/// How long one attempt waits. Attempts that must succeed are repeated.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Where something runs: in a pod, or on the host.
#[derive(Clone, Copy)]
pub enum Place<'a> {
    Host,
    Pod(&'a Pod),
}

impl Place<'_> {
    fn inside<T: Send>(self, inside: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Host => inside(),
            Self::Pod(pod) => pod.inside(inside),
        }
    }
}

/// Serves a port of `address` as long as the test process lives.
pub fn serve(place: Place<'_>, name: &str, protocol: &str, address: &str, port: u16) {
    let name = name.to_owned();
    let at = SocketAddr::new(address.parse().unwrap(), port);
    let answer = move |from: SocketAddr| format!("{name} to {}", from.ip().to_canonical());
    if protocol == "tcp" {
        let listener = place.inside(|| TcpListener::bind(at).unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let from = stream.peer_addr().unwrap();
                // The client may be gone.
                stream.write_all(answer(from).as_bytes()).ok();
            }
        });
    } else {
        let socket = place.inside(|| UdpSocket::bind(at).unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                // The client may be gone.
                socket.send_to(answer(from).as_bytes(), from).ok();
            }
        });
    }
}

/// Asks once; none without an answer.
pub fn ask_once(place: Place<'_>, protocol: &str, address: &str, port: u16) -> Option<String> {
    let address: IpAddr = address.parse().unwrap();
    let to = SocketAddr::new(address, port);
    place.inside(|| {
        let mut buffer = [0; 64];
        let length = if protocol == "tcp" {
            let mut stream = TcpStream::connect_timeout(&to, ATTEMPT).ok()?;
            stream.set_read_timeout(Some(ATTEMPT)).unwrap();
            stream.read(&mut buffer).ok()?
        } else {
            ask_from(&client(address), to, &mut buffer)?
        };
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    })
}

/// A UDP socket in the current namespace.
fn client(to: IpAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    socket.set_read_timeout(Some(ATTEMPT)).unwrap();
    socket
}

/// A UDP client, which keeps its port.
pub fn udp_client(place: Place<'_>, to: &str) -> UdpSocket {
    let to = to.parse().unwrap();
    place.inside(|| client(to))
}

/// Sends a datagram and returns the answer's length, if there is one.
fn ask_from(socket: &UdpSocket, to: SocketAddr, buffer: &mut [u8]) -> Option<usize> {
    socket.send_to(b"who?", to).ok()?;
    socket.recv_from(buffer).ok().map(|(length, _)| length)
}

/// As [`ask`], from a socket that keeps its port.
pub fn ask_again(socket: &UdpSocket, address: &str, port: u16) -> String {
    let to = SocketAddr::new(address.parse().unwrap(), port);
    let (mut buffer, mut length) = ([0; 64], None);
    tests::eventually(&format!("an answer from {to}"), || {
        length = ask_from(socket, to, &mut buffer);
        length.is_some()
    });
    String::from_utf8_lossy(&buffer[..length.unwrap()]).into_owned()
}

/// Asks until there is an answer.
///
/// # Panics
/// When there is none.
pub fn ask(place: Place<'_>, protocol: &str, address: &str, port: u16) -> String {
    let mut answer = None;
    tests::eventually(&format!("an answer from {protocol} port {port} of {address}"), || {
        answer = ask_once(place, protocol, address, port);
        answer.is_some()
    });
    answer.unwrap()
}
