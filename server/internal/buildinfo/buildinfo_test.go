package buildinfo

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestVersionAndCommitComeFromTheBuild(t *testing.T) {
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-11-28T16:00:00Z"}, {Key: "vcs.modified", Value: modified}}
	}
	date := time.Date(2026, 11, 28, 16, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, linked string
		build        debug.BuildInfo
		want         Info
	}{
		{"release", "v0.1.0", debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-1"}, Settings: vcs("false")}, Info{Version: "v0.1.0", Commit: "abc", Date: date}},
		{"go install", "", debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, Info{Version: "v0.1.0"}},
		{"changed work tree", "", debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: vcs("true")}, Info{Version: "devel", Commit: "abc-dirty", Date: date}},
		{"go run", "", debug.BuildInfo{}, Info{Version: "devel"}},
	} {
		c.want.Go, c.want.Platform = runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH
		if got := from(&c.build, c.linked); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}
