// Watchword is a machine-to-machine authorization server and the commands of those who
// operate it.
//
//	watchword serve      run the server
//	watchword --help     everything else
//
// Package cli has the commands and says which exit codes there are.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/watchword-dev/watchword/server/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
