// Watchword is a machine-to-machine authorization server and the commands of those who
// operate it.
//
//	watchword serve      run the server
//	watchword --help     everything else
//
// Package cli has the commands and defines the exit codes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/watchword-dev/watchword/server/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once, but not one that comes with the first: who signals a group of
	// processes signals this one and its parent, such as npx, which passes it on.
	context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
	os.Exit(cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
