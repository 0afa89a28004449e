package compat;

import java.net.InetAddress;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/** Frames, encodings and connections. */
final class WireScenarios {
    private WireScenarios() {}

    static void bothEncodings(Context c) throws Exception {
        for (String address : List.of(c.settings.nameServer, c.settings.brokerA)) {
            int code = address.equals(c.settings.nameServer) ? 106 : 28;
            Wire json = c.wire(address);
            Wire binary = c.wire(address);
            RemotingCommand jsonAnswer = json.call(Wire.request(code));
            Check.equal("JSON answer", 0, jsonAnswer.getCode());
            Check.equal("its encoding", SerializeType.JSON,
                    jsonAnswer.getSerializeTypeCurrentRPC());
            RemotingCommand request = Wire.request(code);
            request.setSerializeTypeCurrentRPC(SerializeType.ROCKETMQ);
            RemotingCommand binaryAnswer = binary.call(request);
            Check.equal("binary answer", 0, binaryAnswer.getCode());
            // The control answers in its own configured encoding, whatever the request's.
            Check.equal("its encoding",
                    c.settings.control ? SerializeType.JSON : SerializeType.ROCKETMQ,
                    binaryAnswer.getSerializeTypeCurrentRPC());
        }
        // A client that speaks binary and one that speaks JSON exchange messages.
        c.createTopic(4);
        Peer binary = c.javaPeer(List.of("-Drocketmq.serialize.type=ROCKETMQ"),
                "concurrent", c.topic, c.group + "_binary");
        Inbox inbox = c.consume(c.group);
        binary.awaitReady();
        Set<String> expected = new TreeSet<>(c.sendMany("json", 8, 4));
        for (int i = 0; i < 8; i++) {
            binary.send(c.topic, "binary" + i);
            expected.add("binary" + i);
        }
        inbox.awaitExactly(16, 20_000, 200);
        Check.equal("JSON consumer", expected, new TreeSet<>(inbox.bodies()));
        binary.await(16, "GOT", 20_000);
        Set<String> got = new TreeSet<>();
        binary.all("GOT").forEach(line -> got.add(line.split(" ")[1]));
        Check.equal("binary consumer", expected, got);
    }

    static void onewayIsNotAnswered(Context c) throws Exception {
        c.createTopic(1);
        Wire broker = c.wire(c.settings.brokerA);
        RemotingCommand oneway = Wire.send(c.topic, 0, "oneway");
        oneway.markOnewayRPC();
        RemotingCommand unknown = Wire.request(9999);
        unknown.markOnewayRPC();
        broker.send(oneway);
        broker.send(unknown);
        RemotingCommand normal = Wire.request(28);
        broker.send(normal);
        Check.equal("first answer of the broker", normal.getOpaque(),
                broker.receive(10_000).getOpaque());
        Check.eventually(5000, "messages stored", 1L, () -> c.stored(c.topic, 1));

        Wire nameServer = c.wire(c.settings.nameServer);
        RemotingCommand route = Wire.request(105, "topic", c.topic);
        route.markOnewayRPC();
        nameServer.send(route);
        RemotingCommand list = Wire.request(106);
        nameServer.send(list);
        Check.equal("first answer of the name server", list.getOpaque(),
                nameServer.receive(10_000).getOpaque());
    }

    static void unknownCode(Context c) throws Exception {
        for (String address : List.of(c.settings.nameServer, c.settings.brokerA)) {
            Wire wire = c.wire(address);
            RemotingCommand answer = wire.call(Wire.request(9999));
            Check.equal("code", 3, answer.getCode());
            Check.equal("remark", " request type 9999 not supported", answer.getRemark());
            int known = address.equals(c.settings.nameServer) ? 106 : 28;
            Check.equal("same connection", 0, wire.call(Wire.request(known)).getCode());
        }
    }

    static void heartbeatAnswer(Context c) throws Exception {
        Wire wire = c.wire(c.settings.brokerA);
        RemotingCommand answer = wire.call(heartbeat(c.group, c.group));
        Check.equal("code", 0, answer.getCode());
        Check.that(answer.getVersion() >= 232, "version is " + answer.getVersion());
        c.createTopic(1);
        var consumer = c.consumer();
        consumer.subscribe(c.topic, MessageSelector.bySql("a > 1"));
        consumer.registerMessageListener(new Inbox().concurrently());
        consumer.start();
    }

    /** A producer's heartbeat. */
    static RemotingCommand heartbeat(String client, String group) {
        return Wire.withBody(Wire.request(34), "{\"clientID\":\"" + client
                + "\",\"producerDataSet\":[{\"groupName\":\"" + group
                + "\"}],\"consumerDataSet\":[]}");
    }

    static void idleConnectionIsClosed(Context c) throws Exception {
        Wire busy = c.wire(c.settings.brokerA);
        Wire broker = c.wire(c.settings.brokerA);
        Wire nameServer = c.wire(c.settings.nameServer);
        // Twelve bytes, so that the server has seen the start of a plain connection.
        Check.equal("broker", 0, broker.call(Wire.request(28)).getCode());
        Check.equal("name server", 0, nameServer.call(Wire.request(106)).getCode());
        long start = System.nanoTime();
        Thread.sleep(60_000);
        Check.equal("busy connection", 0, busy.call(Wire.request(28)).getCode());
        broker.awaitClose(75_000);
        long brokerMillis = (System.nanoTime() - start) / 1_000_000;
        nameServer.awaitClose(15_000);
        long nameServerMillis = (System.nanoTime() - start) / 1_000_000;
        Check.between("broker closed after ms", 119_000, 131_000, brokerMillis);
        Check.between("name server closed after ms", 119_000, 131_000, nameServerMillis);
        Check.equal("busy connection", 0, busy.call(Wire.request(28)).getCode());
    }

    static void proxyPreamble(Context c) throws Exception {
        c.createTopic(1);
        ByteBuffer v2 = ByteBuffer.allocate(28);
        v2.put(new byte[] {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a});
        v2.put((byte) 0x21).put((byte) 0x11).putShort((short) 12);
        v2.put(InetAddress.getByName("203.0.113.7").getAddress());
        v2.put(InetAddress.getByName("127.0.0.1").getAddress());
        v2.putShort((short) 5555).putShort((short) 80);
        checkAnnounced(c, v2.array(), "203.0.113.7:5555");
        byte[] v1 = "PROXY TCP4 203.0.113.8 127.0.0.1 5556 80\r\n"
                .getBytes(StandardCharsets.US_ASCII);
        checkAnnounced(c, v1, "203.0.113.8:5556");
    }

    /** Connection lists show the announced address; the born host stays the TCP peer's. */
    private static void checkAnnounced(Context c, byte[] preamble, String announced)
            throws Exception {
        Wire wire = c.wire(c.settings.brokerA);
        wire.write(preamble);
        String group = c.group + "_" + announced.substring(announced.indexOf(':') + 1);
        RemotingCommand beat = wire.call(heartbeat(group, group));
        Check.equal("heartbeat", 0, beat.getCode());
        var connections = c.admin.examineProducerConnectionInfo(group, c.topic).getConnectionSet();
        Check.equal("connections", 1, connections.size());
        var connection = connections.iterator().next();
        Check.equal("client", group, connection.getClientId());
        Check.equal("address", announced, connection.getClientAddr());
        RemotingCommand answer = wire.call(Wire.send(c.topic, 0, "through a proxy"));
        Check.equal("send", 0, answer.getCode());
        String id = Wire.field(answer, "msgId");
        Check.eventually(5000, "born host", wire.localAddress(),
                () -> c.admin.viewMessage(c.topic, id).getBornHost());
    }
}
