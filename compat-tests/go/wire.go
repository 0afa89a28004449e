package main

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"time"
)

// command is a frame with a JSON header.
type command struct {
	Code      int               `json:"code"`
	Flag      int               `json:"flag"`
	Language  string            `json:"language"`
	Opaque    int               `json:"opaque"`
	Remark    string            `json:"remark,omitempty"`
	Version   int               `json:"version"`
	ExtFields map[string]string `json:"extFields,omitempty"`
	body      []byte
}

const goVersion = 317

func request(code int, fields map[string]string, body string) command {
	return command{
		Code: code, Language: "GO", Version: goVersion, ExtFields: fields, body: []byte(body),
	}
}

func writeFrame(to io.Writer, c command) {
	header, err := json.Marshal(c)
	ok(err)
	frame := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(c.body)))
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(header)))
	frame = append(append(frame, header...), c.body...)
	_, err = to.Write(frame)
	ok(err)
}

func readFrame(from io.Reader) (command, error) {
	var c command
	prefix := make([]byte, 8)
	if _, err := io.ReadFull(from, prefix); err != nil {
		return c, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(prefix)-4)
	if _, err := io.ReadFull(from, rest); err != nil {
		return c, err
	}
	length := binary.BigEndian.Uint32(prefix[4:]) & 0xffffff
	c.body = rest[length:]
	return c, json.Unmarshal(rest[:length], &c)
}

func dial(address string) net.Conn {
	conn, err := net.DialTimeout("tcp", address, 3*time.Second)
	ok(err)
	return conn
}

func callOn(conn net.Conn, c command) command {
	ok(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	writeFrame(conn, c)
	answer, err := readFrame(conn)
	ok(err)
	return answer
}

// call sends one request on a connection of its own.
func call(address string, c command) command {
	conn := dial(address)
	defer conn.Close()
	return callOn(conn, c)
}
