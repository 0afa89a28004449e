// Command compat runs the checklist scenarios of the Go client, all at once, and prints a line
// for each; as `compat peer MODE TOPIC GROUP` it is a client that a scenario of another process
// commands.
package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

type entry struct {
	name string
	run  func(*scenario)
}

var entries = []entry{
	{"line-2", onewayIsAnswered},
	{"line-10", routeOfTwoBrokers},
	{"line-33", everyKindOfSend},
	{"line-34", transactions},
	{"line-35", requestAndReply},
	{"line-56", retriesAndDeadLetters},
	{"line-57", sqlFilter},
	{"line-58", killedOrderlyOwner},
	{"line-59", killedConsumer},
}

func main() {
	rlog.SetLogLevel("fatal")
	if len(os.Args) == 5 && os.Args[1] == "peer" {
		peerMain(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	wanted := os.Args[1:]
	known := func(name string) bool {
		return slices.ContainsFunc(entries, func(e entry) bool { return e.name == name })
	}
	for _, name := range wanted {
		if !known(name) {
			fmt.Printf("SCENARIO %s UNKNOWN\n", name)
		}
	}
	var running sync.WaitGroup
	for _, e := range entries {
		if len(wanted) == 0 || slices.Contains(wanted, e.name) {
			running.Add(1)
			go func() {
				defer running.Done()
				report(e)
			}()
		}
	}
	running.Wait()
	fmt.Println("END")
}

func report(e entry) {
	start := time.Now()
	s := newScenario(e.name)
	defer s.close()
	defer func() {
		switch failure := recover().(type) {
		case nil:
			fmt.Printf("SCENARIO %s PASS %dms\n", e.name, time.Since(start).Milliseconds())
		default:
			reason := strings.ReplaceAll(fmt.Sprint(failure), "\n", " ")
			fmt.Printf("SCENARIO %s FAIL %s\n", e.name, reason)
		}
	}()
	e.run(s)
}
