"""Scenarios, which say what is migrated: virtual machine, workload, link, limits; read and written as YAML."""

from dqgym.scenario.dirty_log import DirtyLog
from dqgym.scenario.limits import DeviceWrites, DoublingGrowth, Limits, SlopeGrowth, Span, StepsGrowth
from dqgym.scenario.link import ConstantLink, Link, MarkovLink, OrnsteinUhlenbeckLink, StepsLink, TraceLink
from dqgym.scenario.patterns import HotSet
from dqgym.scenario.scenario import Scenario
from dqgym.scenario.vm import VirtualMachine
from dqgym.scenario.workload import MAX_VCPUS, Bursty, Phased, Recorded, Schedule, Steady, VcpuGroup
from dqgym.scenario.yaml_files import ScenarioError, load_scenario, save_scenario, scenario_from_yaml, scenario_to_yaml

__all__ = [
    "MAX_VCPUS",
    "Bursty",
    "ConstantLink",
    "DeviceWrites",
    "DirtyLog",
    "DoublingGrowth",
    "HotSet",
    "Limits",
    "Link",
    "MarkovLink",
    "OrnsteinUhlenbeckLink",
    "Phased",
    "Recorded",
    "Scenario",
    "ScenarioError",
    "Schedule",
    "SlopeGrowth",
    "Span",
    "Steady",
    "StepsGrowth",
    "StepsLink",
    "TraceLink",
    "VcpuGroup",
    "VirtualMachine",
    "load_scenario",
    "save_scenario",
    "scenario_from_yaml",
    "scenario_to_yaml",
]
