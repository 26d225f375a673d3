//! Services: an HTTP health answer that turns bad, and a TCP echo.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Answers 200, and 503 from `fail_after` on.
pub(crate) fn health(port: u16, fail_after: Option<Duration>) -> io::Result<()> {
    let listener = listen(port)?;
    let start = Instant::now();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let is_bad = fail_after.is_some_and(|limit| start.elapsed() >= limit);
            // A client that goes away in the middle is its own problem.
            let _ = answer(stream, is_bad);
        }
    });
    Ok(())
}

fn answer(stream: TcpStream, is_bad: bool) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(&stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let (status, body) =
        if is_bad { ("503 Service Unavailable", "failing\n") } else { ("200 OK", "healthy\n") };
    write!(
        &stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Sends back what comes in, one thread a connection.
pub(crate) fn echo(port: u16) -> io::Result<()> {
    let listener = listen(port)?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                // The end of a connection is an end, whatever its reason.
                let _ = io::copy(&mut &stream, &mut &stream);
            });
        }
    });
    Ok(())
}

/// Port 0 lets the kernel choose; the choice is printed.
fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    if port == 0 {
        println!("listening on {}", listener.local_addr()?);
    }
    Ok(listener)
}
