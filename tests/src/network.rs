//! Machines of a test that can be cut off: network namespaces joined by a switch, whose cables can be pulled.
//!
//! Making them needs the rights of root. A cable that is pulled is one as for real: nothing passes, and nobody is told.

use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use anyhow::{Context, Result, ensure};

/// Networks of this process so far.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// A switch, machines on it, and this process as another one. Gone when it is dropped.
#[derive(Debug)]
pub struct Network {
    /// What the names of its namespaces begin with.
    prefix: String,
    /// Three numbers of its addresses.
    subnet: String,
    machines: usize,
}

impl Network {
    /// One with so many machines; none, and says why, where that is not permitted.
    pub fn start(machines: usize) -> Option<Network> {
        let (pid, count) = (process::id(), COUNT.fetch_add(1, SeqCst));
        let subnet = format!("10.{}.{}", 200 + pid % 50, (pid / 50 + count) % 250);
        let network = Network { prefix: format!("veddb-{pid}-{count}"), subnet, machines };
        match network.build() {
            Ok(()) => Some(network),
            Err(error) => {
                println!("no network namespaces can be made here: {error:#}");
                None
            }
        }
    }

    fn build(&self) -> Result<()> {
        let switch = self.switch();
        ip(&["netns", "add", &switch])?;
        ip(&["-n", &switch, "link", "add", "switch", "type", "bridge"])?;
        ip(&["-n", &switch, "link", "set", "switch", "up"])?;
        for machine in 0..self.machines {
            let (namespace, port) = (self.namespace(machine), port(machine));
            ip(&["netns", "add", &namespace])?;
            ip(&["link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", "eth0", "netns", &namespace])?;
            ip(&["-n", &switch, "link", "set", &port, "master", "switch", "up"])?;
            ip(&["-n", &namespace, "address", "add", &format!("{}/24", self.address(machine)), "dev", "eth0"])?;
            ip(&["-n", &namespace, "link", "set", "eth0", "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        }
        // This process's own cable is named by the subnet, as names of interfaces are short.
        let own = self.subnet.replace('.', "_");
        ip(&["link", "add", &own, "type", "veth", "peer", "name", "own", "netns", &switch])?;
        ip(&["-n", &switch, "link", "set", "own", "master", "switch", "up"])?;
        ip(&["address", "add", &format!("{}/24", self.own_address()), "dev", &own])?;
        ip(&["link", "set", &own, "up"])
    }

    fn switch(&self) -> String {
        format!("{}-switch", self.prefix)
    }

    /// The namespace of a machine, in which programs are started by `ip netns exec`.
    pub fn namespace(&self, machine: usize) -> String {
        format!("{}-{machine}", self.prefix)
    }

    /// Where a machine is reached, also by itself.
    pub fn address(&self, machine: usize) -> String {
        format!("{}.{}", self.subnet, 10 + machine)
    }

    /// Where this process is reached by the machines.
    pub fn own_address(&self) -> String {
        format!("{}.1", self.subnet)
    }

    /// Pulls the cable of a machine.
    pub fn cut(&self, machine: usize) -> Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &port(machine), "down"])
    }

    /// Puts it back.
    pub fn heal(&self, machine: usize) -> Result<()> {
        ip(&["-n", &self.switch(), "link", "set", &port(machine), "up"])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // With a namespace go its interfaces, and with them their other ends.
        for namespace in (0..self.machines).map(|machine| self.namespace(machine)).chain([self.switch()]) {
            let _ = Command::new("ip").args(["netns", "delete", &namespace]).output();
        }
    }
}

/// The switch's end of a machine's cable.
fn port(machine: usize) -> String {
    format!("port{machine}")
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip (Debian: iproute2)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(())
}
