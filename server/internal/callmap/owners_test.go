package callmap_test

import (
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

func uid(n byte) directory.UID { return directory.UID{n, 15: 1} }

// What other owners have in the shadow stays when one owner's file is applied.
func TestShadowRulesOfOtherOwnersStay(t *testing.T) {
	state := &directory.State{
		Services: []directory.Service{{UID: uid(1), Name: "m1", Version: 1}, {UID: uid(2), Name: "m2", Version: 1}},
		Shadow: []directory.ShadowRule{
			{Rule: directory.Rule{Edge: policy.Edge{Caller: uid(1), Target: uid(2)}, ManagedBy: "sales"}},
			{Rule: directory.Rule{Edge: policy.Edge{Caller: uid(2), Target: uid(1)}, ManagedBy: "payments"}},
		},
	}
	f, err := callmap.Parse("payments.yaml", []byte("version: 1\nmanaged-by: payments\n"))
	must(t, err)
	p, err := callmap.Make([]*callmap.File{f}, state, time.Now())
	must(t, err)
	if len(p.Shadow) != 1 || p.Shadow[0].ManagedBy != "sales" {
		t.Errorf("got the shadow %+v, want that of sales alone", p.Shadow)
	}
	changes := p.Changes(0)
	if len(changes) != 1 || changes[0].String() != "- shadow m2 -> m1" {
		t.Errorf("got %v, want one rule of the shadow removed", changes)
	}
}

// An export planned again removes nothing, also when the owner has things already and more was
// made by hand since.
func TestExportOfWhatIsByHandHoldsWhatItsOwnerHas(t *testing.T) {
	state := &directory.State{
		Services: []directory.Service{
			{UID: uid(1), Name: "m1", Version: 1, ManagedBy: callmap.DefaultOwner},
			{UID: uid(2), Name: "m2", Version: 1},
			{UID: uid(3), Name: "m3", Version: 1, ManagedBy: "sales"},
		},
		Rules: []directory.Rule{
			{Edge: policy.Edge{Caller: uid(1), Target: uid(2)}, Version: 1, ManagedBy: callmap.DefaultOwner},
			{Edge: policy.Edge{Caller: uid(2), Target: uid(3)}, Version: 1},
		},
	}
	f, err := callmap.Parse("export.yaml", callmap.Export(state, ""))
	must(t, err)
	p, err := callmap.Make([]*callmap.File{f}, state, time.Now())
	must(t, err)
	for _, c := range p.Changes(0) {
		if c.Op != "change" {
			t.Errorf("got %s, want nothing but what changes hands", c)
		}
	}
}
