package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
)

// peerMain is a client in a process of its own: READY, GOT and SENT lines out, commands in.
func peerMain(mode, topic, group string) {
	var options []consumer.Option
	if mode == "orderly" {
		options = append(options, consumer.WithConsumerOrder(true))
	}
	if mode != "producer" {
		newConsumer(group, topic, printing, options...)
	}
	p := newProducer(group + "_peer")
	fmt.Println("READY")
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		words := strings.SplitN(lines.Text(), " ", 3)
		var err error
		switch ctx := context.Background(); words[0] {
		case "SEND":
			_, err = p.SendSync(ctx, primitive.NewMessage(words[1], []byte(words[2])))
		case "ASYNC":
			answered := make(chan error, 1)
			err = p.SendAsync(ctx, func(_ context.Context, _ *primitive.SendResult, err error) {
				answered <- err
			}, primitive.NewMessage(words[1], []byte(words[2])))
			if err == nil {
				err = <-answered
			}
		case "ONEWAY":
			err = p.SendOneWay(ctx, primitive.NewMessage(words[1], []byte(words[2])))
		case "BATCH":
			var batch []*primitive.Message
			for _, body := range strings.Fields(words[2]) {
				batch = append(batch, primitive.NewMessage(words[1], []byte(body)))
			}
			_, err = p.SendSync(ctx, batch...)
		default:
			return
		}
		ok(err)
		fmt.Println("SENT", words[0])
	}
}

func printing(_ context.Context, messages ...*received) (result, error) {
	for _, message := range messages {
		fmt.Println("GOT", message.Queue.QueueId, string(message.Body))
	}
	return consumer.ConsumeSuccess, nil
}

// peer is such a process, seen from the scenario that commands it.
type peer struct {
	process *exec.Cmd
	lock    sync.Mutex
	lines   []string
}

func (s *scenario) peer(mode string) *peer {
	own, err := os.Executable()
	ok(err)
	p := &peer{process: exec.Command(own, "peer", mode, s.topic, s.group)}
	_, err = p.process.StdinPipe() // kept open: its end would end the peer
	ok(err)
	output, err := p.process.StdoutPipe()
	ok(err)
	ok(p.process.Start())
	s.atEnd(p.kill)
	go p.read(output)
	eventually(20*time.Second, "lines READY of the peer", 1, func() any { return p.count("READY") })
	return p
}

func (p *peer) read(output io.Reader) {
	for lines := bufio.NewScanner(output); lines.Scan(); {
		p.lock.Lock()
		p.lines = append(p.lines, lines.Text())
		p.lock.Unlock()
	}
}

// count is the number of lines that start with word.
func (p *peer) count(word string) int {
	p.lock.Lock()
	defer p.lock.Unlock()
	count := 0
	for _, line := range p.lines {
		if strings.HasPrefix(line, word) {
			count++
		}
	}
	return count
}

// kill is SIGKILL: the peer takes leave of nobody.
func (p *peer) kill() {
	_ = p.process.Process.Kill() // fails only for a process that has ended
	_ = p.process.Wait()
}
