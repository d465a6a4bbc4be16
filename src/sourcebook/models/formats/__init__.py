"""One file per wire format: a request into exact bytes, a reply's bytes into events. Nothing here touches a network."""
