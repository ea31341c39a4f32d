//! An item of the virtual hardware, and a setting of VMware's.

use ::xml::Element;

use crate::descriptor::resource;

/// One item: settings of a resource (CIM_ResourceAllocationSettingData, DSP0243 8.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Its id, unique within the machine.
    pub id: u32,
    /// The number of CIM's `ResourceType`.
    pub resource_type: u32,
    /// Its name for people.
    pub name: String,
    /// What it is more exactly.
    pub subtype: Option<String>,
    /// The number of a controller, or the Ethernet address of a card.
    pub address: Option<String>,
    /// Its place on its controller.
    pub address_on_parent: Option<u32>,
    /// The controller that it hangs on.
    pub parent: Option<u32>,
    /// The disk or file that backs it: `ovf:/disk/…`, `ovf:/file/…`.
    pub host_resource: Option<String>,
    /// The network that it is plugged into.
    pub connection: Option<String>,
    /// Whether it is connected at start.
    pub connected: Option<bool>,
    /// The unit of the quantity.
    pub units: Option<&'static str>,
    /// How much of it there is.
    pub quantity: Option<u64>,
    /// Whether the machine works without it.
    pub is_optional: bool,
    /// Settings of VMware's.
    pub settings: Vec<Setting>,
    /// Cores a socket, of processors.
    pub cores_per_socket: Option<u32>,
}

/// A setting of VMware's: `vmw:Config`, never required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    key: &'static str,
    value: String,
}

impl Item {
    /// An item with what each one has.
    #[must_use]
    pub fn new(id: u32, resource_type: u32, name: impl Into<String>) -> Self {
        Self { id, resource_type, name: name.into(), ..Self::default() }
    }

    /// The processors; item 1.
    #[must_use]
    pub fn processors(count: u32, cores_per_socket: Option<u32>) -> Self {
        Self {
            units: Some("hertz * 10^6"),
            quantity: Some(count.into()),
            cores_per_socket,
            ..Self::new(1, resource::PROCESSOR, format!("{count} virtual CPU(s)"))
        }
    }

    /// The memory, in MiB; item 2.
    #[must_use]
    pub fn memory(mib: u64) -> Self {
        Self {
            units: Some("byte * 2^20"),
            quantity: Some(mib),
            ..Self::new(2, resource::MEMORY, format!("{mib}MB of memory"))
        }
    }

    /// The element; its children are in the order of the alphabet, as the schema wants them.
    pub(super) fn element(&self) -> Element<'_> {
        let item = Element::new("Item");
        let item = if self.is_optional { item.with("ovf:required", "false") } else { item };
        let text = |name, value: &Option<String>| {
            value.as_ref().map(|value| Element::text(name, value.clone()))
        };
        let number =
            |name, value: Option<u64>| value.map(|value| Element::text(name, value.to_string()));
        let connected = self.connected.map(|connected| {
            Element::text("rasd:AutomaticAllocation", if connected { "true" } else { "false" })
        });
        let cores = self.cores_per_socket.map(|cores| {
            Element::text("vmw:CoresPerSocket", cores.to_string()).with("ovf:required", "false")
        });
        item.holding(text("rasd:Address", &self.address))
            .holding(number("rasd:AddressOnParent", self.address_on_parent.map(Into::into)))
            .holding(self.units.map(|units| Element::text("rasd:AllocationUnits", units)))
            .holding(connected)
            .holding(text("rasd:Connection", &self.connection))
            .holding([Element::text("rasd:ElementName", self.name.as_str())])
            .holding(text("rasd:HostResource", &self.host_resource))
            .holding([Element::text("rasd:InstanceID", self.id.to_string())])
            .holding(number("rasd:Parent", self.parent.map(Into::into)))
            .holding(text("rasd:ResourceSubType", &self.subtype))
            .holding([Element::text("rasd:ResourceType", self.resource_type.to_string())])
            .holding(number("rasd:VirtualQuantity", self.quantity))
            .holding(cores)
            .holding(self.settings.iter().map(Setting::element))
    }
}

impl Setting {
    /// A setting.
    #[must_use]
    pub fn new(key: &'static str, value: impl Into<String>) -> Self {
        Self { key, value: value.into() }
    }

    pub(super) fn element(&self) -> Element<'_> {
        Element::new("vmw:Config")
            .with("ovf:required", "false")
            .with("vmw:key", self.key)
            .with("vmw:value", self.value.as_str())
    }
}
