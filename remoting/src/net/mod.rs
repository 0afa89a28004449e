//! Sockets: connections, server, client.
