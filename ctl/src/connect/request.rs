//! From the command line to the request of a session. What can be refused here is, with better words than a status.

use sallyport_core::engineer::Reason;
use sallyport_core::name::{DeviceId, Name};
use serde_json::{Value, json};

use crate::api::{Device, Devices};
use crate::cli::Wish;
use crate::door::Door;
use crate::failure::Failure;
use crate::list;

/// The request. The devices are asked for only when the wish is not complete.
pub(crate) async fn of(door: &mut Door, wish: &Wish) -> Result<Value, Failure> {
    let reason: Reason = wish.reason.parse().map_err(|error| usage("--reason", error))?;
    let incident: Option<Reason> =
        wish.incident.as_deref().map(str::parse).transpose().map_err(|error| usage("--incident", error))?;
    let (device, service) = match (wish.device.parse::<DeviceId>(), &wish.service) {
        (Ok(device), Some(service)) => (device.to_string(), service.clone()),
        _ => chosen(door, wish).await?,
    };
    let service: Name = service.parse().map_err(|error| usage("--service", error))?;
    let mut request = json!({ "device": device, "service": service, "reason": reason });
    if let Some(incident) = incident {
        request["incident"] = json!(incident);
    }
    Ok(request)
}

async fn chosen(door: &mut Door, wish: &Wish) -> Result<(String, String), Failure> {
    let answer = door.get("/v1/devices").await?;
    let Devices { devices } = list::read(door, &answer)?;
    let device = named(&devices, &wish.device)?;
    let service = match &wish.service {
        Some(service) => service.clone(),
        None => only_service(device)?,
    };
    Ok((device.id.clone(), service))
}

fn named<'d>(devices: &'d [Device], wish: &str) -> Result<&'d Device, Failure> {
    let is_meant = |device: &&Device| match device.id.split_once('/') {
        Some((_, name)) => device.id == wish || name == wish,
        None => device.id == wish,
    };
    match devices.iter().filter(is_meant).collect::<Vec<_>>().as_slice() {
        [] => Err(Failure::NoSuchDevice { name: wish.to_owned() }),
        [device] => Ok(device),
        several => {
            let ids = several.iter().map(|device| device.id.as_str()).collect::<Vec<_>>().join(", ");
            Err(Failure::Usage(format!("{wish} is the name of several devices; say which: {ids}")))
        }
    }
}

fn only_service(device: &Device) -> Result<String, Failure> {
    let names: Vec<_> = device.services.iter().map(|service| service.name.as_str()).collect();
    match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        _ => Err(Failure::Usage(format!(
            "{} has several services; choose one with --service: {}",
            device.id,
            names.join(", ")
        ))),
    }
}

fn usage(flag: &str, error: impl ToString) -> Failure {
    Failure::Usage(format!("{flag}: {}", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Service;

    fn device(id: &str, services: &[&str]) -> Device {
        Device {
            id: id.to_owned(),
            customer: String::new(),
            product: String::new(),
            class: String::new(),
            level: String::new(),
            connected: true,
            services: services.iter().map(|name| Service { name: (*name).to_owned() }).collect(),
        }
    }

    #[test]
    fn a_device_is_named_in_full_or_by_a_name_that_one_device_has() {
        let devices = [device("lyon/ct", &[]), device("osaka/ct", &[]), device("lyon/mr", &[])];
        assert_eq!(named(&devices, "mr").unwrap().id, "lyon/mr");
        assert_eq!(named(&devices, "osaka/ct").unwrap().id, "osaka/ct");
        assert!(named(&devices, "ct").unwrap_err().to_string().contains("lyon/ct, osaka/ct"));
        assert_eq!(named(&devices, "us").unwrap_err().exit_code(), 3);
    }

    #[test]
    fn the_only_service_need_not_be_named() {
        assert_eq!(only_service(&device("lyon/ct", &["ssh"])).unwrap(), "ssh");
        assert!(only_service(&device("lyon/ct", &["ssh", "web"])).unwrap_err().to_string().contains("ssh, web"));
    }
}
