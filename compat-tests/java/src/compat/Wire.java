package compat;

import java.io.Closeable;
import java.io.DataInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import org.apache.rocketmq.remoting.protocol.SerializeType;

/** One plain connection: frames in and out, nothing a client would do by itself. */
final class Wire implements Closeable {
    private final Socket socket = new Socket();
    private final DataInputStream in;

    Wire(String address) throws IOException {
        int colon = address.lastIndexOf(':');
        int port = Integer.parseInt(address.substring(colon + 1));
        socket.connect(new InetSocketAddress(address.substring(0, colon), port), 3000);
        socket.setTcpNoDelay(true);
        in = new DataInputStream(socket.getInputStream());
    }

    /** A request with header fields given as name, value, name, value ... */
    static RemotingCommand request(int code, Object... fields) {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, null);
        request.setSerializeTypeCurrentRPC(SerializeType.JSON);
        for (int i = 0; i < fields.length; i += 2) {
            request.addExtField((String) fields[i], String.valueOf(fields[i + 1]));
        }
        return request;
    }

    static RemotingCommand withBody(RemotingCommand request, String body) {
        request.setBody(body.getBytes(StandardCharsets.UTF_8));
        return request;
    }

    /** A send request (10) without any property. */
    static RemotingCommand send(String topic, int queueId, String body) {
        RemotingCommand request = request(10, "producerGroup", "compat_wire", "topic", topic,
                "defaultTopic", "TBW102", "defaultTopicQueueNums", 4, "queueId", queueId,
                "sysFlag", 0, "bornTimestamp", System.currentTimeMillis(), "flag", 0,
                "properties", "", "reconsumeTimes", 0, "unitMode", false, "batch", false);
        return withBody(request, body);
    }

    InetSocketAddress localAddress() {
        return (InetSocketAddress) socket.getLocalSocketAddress();
    }

    void write(byte[] bytes) throws IOException {
        socket.getOutputStream().write(bytes);
        socket.getOutputStream().flush();
    }

    void send(RemotingCommand command) throws IOException {
        ByteBuffer frame = command.encode();
        byte[] bytes = new byte[frame.remaining()];
        frame.get(bytes);
        write(bytes);
    }

    /** The next frame; {@code SocketTimeoutException} when none comes in time. */
    RemotingCommand receive(long millis) throws Exception {
        socket.setSoTimeout((int) millis);
        byte[] frame = new byte[in.readInt()];
        in.readFully(frame);
        return RemotingCommand.decode(ByteBuffer.wrap(frame));
    }

    RemotingCommand call(RemotingCommand request) throws Exception {
        return call(request, 10_000);
    }

    /** Sends {@code request} and answers with the frame that replies to it. */
    RemotingCommand call(RemotingCommand request, long millis) throws Exception {
        send(request);
        RemotingCommand answer;
        do {
            answer = receive(millis);
        } while (answer.getOpaque() != request.getOpaque() || !answer.isResponseType());
        return answer;
    }

    /** Milliseconds until the server closes the connection; fails after {@code millis}. */
    long awaitClose(long millis) throws IOException {
        long start = System.nanoTime();
        socket.setSoTimeout((int) millis);
        try {
            int last;
            do {
                last = in.read();
            } while (last >= 0);
        } catch (SocketTimeoutException e) {
            throw new AssertionError("connection still open after " + millis + " ms");
        }
        return (System.nanoTime() - start) / 1_000_000;
    }

    static String field(RemotingCommand answer, String name) {
        return answer.getExtFields() == null ? null : answer.getExtFields().get(name);
    }

    @Override
    public void close() {
        try {
            socket.close();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
