//! An answer and a stream, with zbus 5.
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;

use zbus::blocking::{Connection, Proxy};
use zbus::zvariant::{self, OwnedValue, Value};

const NAME: &str = "org.cortexlinux.LLMRouter";
const PATH: &str = "/org/cortexlinux/LLMRouter";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let prompt = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "What is a cgroup?".into());
    let bus = Connection::system()?;
    let router = Proxy::new(&bus, NAME, PATH, NAME)?;
    let messages = vec![HashMap::from([
        ("role", Value::from("user")),
        ("content", Value::from(prompt.as_str())),
    ])];

    let options = HashMap::from([("max_tokens", Value::from(200i32))]);
    let (content, metadata): (String, HashMap<String, OwnedValue>) =
        router.call("CompleteWithOptions", &("user_chat", &messages, &options))?;
    let nano = i64::try_from(&metadata["cost_nano_usd"])?;
    println!("{content}\n{:.9} USD", nano as f64 / 1e9);

    let none: HashMap<&str, Value> = HashMap::new();
    let (_request_id, pipe): (String, zvariant::OwnedFd) =
        router.call("OpenStream", &("user_chat", &messages, &none))?;
    for line in BufReader::new(File::from(OwnedFd::from(pipe))).lines() {
        let event: serde_json::Value = serde_json::from_str(&line?)?;
        match event["type"].as_str() {
            Some("text") => print!("{}", event["text"].as_str().unwrap_or("")),
            Some("error") => return Err(event["message"].to_string().into()),
            Some("done") => println!(),
            _ => {} // unknown events are to be ignored
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
