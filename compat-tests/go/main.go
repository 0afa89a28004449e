// Command compat runs the checklist scenarios of the Go client.
package main

import (
	"fmt"

	_ "github.com/apache/rocketmq-client-go/v2"
)

func main() { fmt.Println("END") }
