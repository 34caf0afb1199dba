//! What the contract takes to compute an element of every operator, batch by batch, on shapes of real networks and on those
//! that scatter an element's operands most: `cargo run -p gavel-settlement --example step_gas`.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/step/mod.rs"]
mod step;

use gavel_numerics::batch::reads;
use gavel_numerics::program::{Instruction, Opcode, Program, program};
use gavel_numerics::reference::{Application, Environment, Machine};
use gavel_numerics::{Op, Tensor, Window2d};
use step::operands::Rng;
use step::{Contract, call, element};

fn window(kernel: u32, stride: u32, pad: u32) -> Window2d {
    Window2d {
        kernel: [kernel; 2],
        strides: [stride; 2],
        dilations: [1; 2],
        pads: [pad; 4],
    }
}

/// Name, operator, extents of its inputs.
type Row = (&'static str, Op, Vec<Vec<u64>>);

fn rows() -> Vec<Row> {
    let plane = vec![1, 64, 56, 56];
    let channels = || vec![64];
    let gemm = |trans_b| Op::Gemm {
        alpha_bits: 1f32.to_bits(),
        beta_bits: 1f32.to_bits(),
        trans_a: false,
        trans_b,
    };
    let clip = Op::Clip {
        min_bits: 0,
        max_bits: 6f32.to_bits(),
    };
    let conv = |window| Op::Conv2d { window, groups: 1 };
    let pool = |window, count_include_pad| Op::AveragePool2d {
        window,
        count_include_pad,
    };
    let normal = Op::BatchNorm {
        epsilon_bits: 1e-5f32.to_bits(),
    };
    let two = |a: &[u64], b: &[u64]| vec![a.to_vec(), b.to_vec()];
    let arg_max = |axis| Op::ArgMax {
        axis,
        keepdims: false,
    };
    vec![
        (
            "Conv2d 3x3",
            conv(window(3, 1, 1)),
            vec![plane.clone(), vec![64, 64, 3, 3], channels()],
        ),
        (
            "Conv2d 7x7 of 224",
            conv(window(7, 2, 3)),
            vec![vec![1, 3, 224, 224], vec![64, 3, 7, 7], channels()],
        ),
        (
            "Conv2d 1x1",
            conv(window(1, 1, 0)),
            vec![plane.clone(), vec![256, 64, 1, 1]],
        ),
        (
            "Gemm",
            gemm(true),
            vec![vec![1, 512], vec![1000, 512], vec![1000]],
        ),
        (
            "Gemm, B by columns",
            gemm(false),
            vec![vec![1, 512], vec![512, 1000], vec![1000]],
        ),
        ("MatMul", Op::MatMul, two(&[1, 12, 128, 768], &[768, 768])),
        ("Add", Op::Add, two(&plane, &plane)),
        ("Add, 8 axes", Op::Add, two(&[2; 8], &[2; 8])),
        ("Sub", Op::Sub, two(&plane, &plane)),
        ("Mul", Op::Mul, two(&plane, &[64, 1, 1])),
        ("Div", Op::Div, two(&plane, &[])),
        ("Relu", Op::Relu, vec![plane.clone()]),
        ("Clip", clip, vec![plane.clone()]),
        ("Sigmoid", Op::Sigmoid, vec![plane.clone()]),
        ("Tanh", Op::Tanh, vec![plane.clone()]),
        ("Exp", Op::Exp, vec![plane.clone()]),
        ("Softmax", Op::Softmax { axis: 1 }, vec![vec![1, 1000]]),
        (
            "Softmax, across planes",
            Op::Softmax { axis: 1 },
            vec![plane.clone()],
        ),
        (
            "MaxPool2d",
            Op::MaxPool2d {
                window: window(3, 2, 1),
            },
            vec![vec![1, 64, 112, 112]],
        ),
        (
            "MaxPool2d of 600",
            Op::MaxPool2d {
                window: window(5, 1, 2),
            },
            vec![vec![1, 1, 600, 600]],
        ),
        (
            "AveragePool2d",
            pool(window(3, 2, 1), false),
            vec![vec![1, 64, 112, 112]],
        ),
        (
            "GlobalAveragePool",
            Op::GlobalAveragePool,
            vec![vec![1, 512, 7, 7]],
        ),
        ("GlobalMaxPool", Op::GlobalMaxPool, vec![vec![1, 512, 7, 7]]),
        (
            "BatchNorm",
            normal,
            vec![
                plane.clone(),
                channels(),
                channels(),
                channels(),
                channels(),
            ],
        ),
        (
            "Reshape",
            Op::Reshape {
                dims: vec![64, 3136],
            },
            vec![plane.clone()],
        ),
        (
            "Transpose",
            Op::Transpose {
                perm: vec![0, 2, 3, 1],
            },
            vec![plane.clone()],
        ),
        (
            "Concat",
            Op::Concat { axis: 1 },
            vec![plane.clone(), plane.clone(), plane.clone()],
        ),
        ("ArgMax", arg_max(1), vec![vec![1, 1000]]),
        ("ArgMax, across planes", arg_max(1), vec![plane.clone()]),
        ("Identity", Op::Identity, vec![plane]),
    ]
}

/// Gas of an instruction on ordinary operands: a program of 1000 of them, less one of none.
fn instructions(contract: &mut Contract) {
    let x = Tensor::f32([100], vec![1.25; 100]).unwrap();
    let env = Environment {
        attributes: &[3, 5],
        inputs: &[&x],
        output: x.ty(),
    };
    let make = |opcode, d, a, b, immediate| Instruction {
        opcode,
        d,
        a,
        b,
        immediate,
    };
    let mut gas = |instruction: Instruction, times: usize| {
        let end = make(Opcode::End, 0, 4, 0, 0);
        let mut code = vec![instruction; times];
        code.push(end);
        let program = Program::new(code).unwrap();
        let mut machine = Machine::new(7);
        machine.registers[2] = 0x3fc0_1234;
        machine.registers[3] = 0x4049_0fdb;
        machine.registers[6] = 0xbf12_3456;
        let found = reads(&program, &env, &machine, 2000);
        contract
            .call(&call(&program, &env, &machine, 2000, &found))
            .unwrap()
            .gas
    };
    println!("| instruction | gas |\n|---|---|");
    for &opcode in Opcode::ALL {
        if matches!(opcode, Opcode::End | Opcode::Jump) {
            continue;
        }
        let fields = [
            make(opcode, 5, 2, 3, 6),
            make(opcode, 5, 2, 3, 0),
            make(opcode, 5, 2, 0, 8),
            make(opcode, 5, 2, 0, 0),
            make(opcode, 5, 0, 0, 0),
            make(opcode, 0, 3, 2, 1),
        ];
        let legal =
            |i: &&Instruction| Program::new(vec![**i, make(Opcode::End, 0, 4, 0, 0)]).is_ok();
        let instruction = match opcode {
            Opcode::Load => make(opcode, 5, 1, 0, 0),
            Opcode::Dim => make(opcode, 5, 0, 0, 0),
            _ => *fields.iter().find(legal).unwrap(),
        };
        let (none, many) = (
            gas(make(Opcode::Sub, 5, 2, 3, 0), 0),
            gas(instruction, 1000),
        );
        println!("| {opcode:?} | {} |", (many - none) / 1000);
    }
    println!();
}

fn main() {
    let (mut contract, mut rng) = (Contract::new(), Rng::new(11));
    instructions(&mut contract);
    println!(
        "| operator | steps an element | batches | gas a step | dearest batch: execution | chunks | with calldata |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (name, op, shapes) in rows() {
        // values without zero bytes, which are the dearest
        let tensors: Vec<Tensor> = shapes
            .iter()
            .map(|dims| {
                let values = (0..dims.iter().product::<u64>()).map(|_| {
                    let bits = rng.word() as u32 & 0x007f_7f7f | 0x3f01_0101;
                    f32::from_bits(bits | (rng.word() as u32 & 1) << 31)
                });
                Tensor::f32(dims.clone(), values.collect()).unwrap()
            })
            .collect();
        let inputs: Vec<&Tensor> = tensors.iter().collect();
        let application = Application::new(&op, &inputs).unwrap();
        let env = Environment {
            attributes: &op.attributes(),
            inputs: &inputs,
            output: application.output(),
        };
        // in the middle of the output, where no tap is padding
        let elements = application.output().elements().unwrap() as u64;
        let index = elements / 2 + application.output().dims.last().map_or(0, |d| d / 2);
        let (_, cost) = element(
            &mut contract,
            program(op.id()).unwrap(),
            &env,
            index % elements,
        );
        let (whole, execution, chunks) = cost.dearest;
        println!(
            "| {name} | {} | {} | {} | {execution} | {} | {whole} |",
            cost.steps,
            cost.batches,
            cost.gas / cost.steps,
            chunks.div_ceil(1024),
        );
    }
}
